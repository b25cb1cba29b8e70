/** Any model, as its signature says: one field per input, raw tensors out. */
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { modelFor } from '../state/models.js';
import { changeImage, changeInput, type Fill, fillInput, giveFile, inferring, openSignature, runModel, signature, signatureError, type TensorInput, tensorInputs } from '../state/tensor-inputs.js';
import { type ImageScale, imageScales } from '../tensors/image.js';
import { sayShape } from '../tensors/tensor-data.js';
import { say } from '../text/text.js';
import { DropZone } from '../ui/drop-zone.js';
import { Field, SelectField, TextField } from '../ui/fields.js';
import { ModelPicker, NoModel } from '../ui/model-picker.js';
import { Notice } from '../ui/notice.js';
import { RunButton } from '../ui/run-button.js';
import { TensorOutputs } from '../ui/tensor-outputs.js';

export function TensorsView(): JSX.Element {
  const model = modelFor('infer');
  const result = inferring.result.value;
  const error = inferring.error.value;
  useEffect(() => {
    if (model === undefined) return undefined;
    const abort = new AbortController();
    void openSignature(model, abort.signal);
    return () => abort.abort();
  }, [model]);
  return (
    <div class="split even">
      <form
        class="card padded stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (model !== undefined) void runModel(model);
        }}
      >
        <ModelPicker playground="tensors" />
        {signatureError.value !== undefined && <Notice error={signatureError.value} />}
        {signature.value && (
          <section aria-labelledby="inputs">
            <h2 id="inputs">{say('tensor.inputs')}</h2>
            {tensorInputs.value.length === 0 && <p class="soft">{say('tensor.noInputs')}</p>}
            {tensorInputs.value.map((input) => (
              <InputField key={input.spec.name} input={input} />
            ))}
          </section>
        )}
        <div class="row end">
          <RunButton run={inferring} words={say('tensor.run')} disabled={!signature.value} />
        </div>
      </form>
      <section class="card padded" aria-live="polite" aria-busy={inferring.busy.value} aria-labelledby="outputs">
        <h2 id="outputs">{say('tensor.outputs')}</h2>
        {error !== undefined && <Notice error={error} />}
        {result ? (
          <TensorOutputs result={result} />
        ) : model === undefined ? (
          <NoModel playground="tensors" />
        ) : (
          error === undefined && <div class="empty">{say('tensor.empty')}</div>
        )}
      </section>
    </div>
  );
}

const fills: readonly Fill[] = ['zeros', 'ones', 'random'];

function InputField({ input }: { readonly input: TensorInput }): JSX.Element {
  const { spec, shape, values, given, image, problem } = input;
  const { name } = spec;
  const isFree = spec.shape.some((size) => size < 0);
  const wrong = problem && say(problem.key, problem.values);
  const fits = given && say('tensor.from', { name: given.source, shape: sayShape(given.tensor.shape), dtype: given.tensor.datatype });
  return (
    <section class="tensor" aria-labelledby={`input-${name}`}>
      <div class="tensor-name">
        <h3 id={`input-${name}`}>{name}</h3>
        <span class="soft small mono">
          {spec.datatype} {sayShape(spec.shape)}
        </span>
      </div>
      {!given && isFree && (
        <Field label={say('tensor.shape')} help={say('tensor.shape.help')}>
          {(ids) => <input {...ids} class="mono" inputMode="numeric" value={shape} onInput={({ currentTarget }) => changeInput(name, { shape: currentTarget.value })} />}
        </Field>
      )}
      {!given && <TextField label={say('tensor.values')} help={say('tensor.values.help')} rows={3} mono value={values} onChange={(text) => changeInput(name, { values: text, problem: undefined })} />}
      {image && <ImageFields input={input} />}
      <DropZone label={name} chosen={fits} picture={image?.file} onFile={(file) => void giveFile(input, file)} onClear={() => changeInput(name, { given: undefined, image: undefined, problem: undefined })} />
      {!given && (
        <div class="row small soft">
          <span>{say('tensor.fill')}</span>
          {fills.map((fill) => (
            <button key={fill} type="button" class="button small" onClick={() => fillInput(input, fill, say(`tensor.fill.${fill}`))}>
              {say(`tensor.fill.${fill}`)}
            </button>
          ))}
        </div>
      )}
      {wrong !== undefined && (
        <p class="notice" role="alert">
          {wrong}
        </p>
      )}
    </section>
  );
}

function ImageFields({ input }: { readonly input: TensorInput }): JSX.Element | null {
  const options = input.image?.options;
  if (!options) return null;
  return (
    <div class="pair">
      <SelectField
        label={say('tensor.image.scale')}
        value={options.scale}
        options={imageScales.map((scale) => [scale, say(`tensor.image.${scale}`)])}
        onChange={(scale: ImageScale) => void changeImage(input, { ...options, scale })}
      />
      <SelectField
        label={say('tensor.image.order')}
        value={options.bgr ? 'bgr' : 'rgb'}
        options={[
          ['rgb', say('tensor.image.rgb')],
          ['bgr', say('tensor.image.bgr')],
        ]}
        onChange={(order) => void changeImage(input, { ...options, bgr: order === 'bgr' })}
      />
    </div>
  );
}

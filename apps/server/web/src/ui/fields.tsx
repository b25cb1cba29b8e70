/** Labelled controls: each has its label, its help and its complaint tied to it. */
import type { ComponentChildren, JSX } from 'preact';
import { useId } from 'preact/hooks';

interface FieldProps {
  readonly label: string;
  readonly help?: string | undefined;
  /** What is wrong with the value. */
  readonly wrong?: string | undefined;
  /** Shown at the end of the label. */
  readonly aside?: string | undefined;
}

/** What a control needs to belong to its field. */
export interface ControlIds {
  readonly id: string;
  readonly 'aria-describedby': string | undefined;
  readonly 'aria-invalid': boolean | undefined;
}

export function Field({ label, help, wrong, aside, children }: FieldProps & { readonly children: (ids: ControlIds) => ComponentChildren }): JSX.Element {
  const id = useId();
  const described = [help !== undefined && `${id}-help`, wrong !== undefined && `${id}-wrong`].filter(Boolean).join(' ');
  return (
    <div class="field">
      <label for={id}>
        <span>{label}</span>
        {aside !== undefined && <span class="soft">{aside}</span>}
      </label>
      {children({ id, 'aria-describedby': described || undefined, 'aria-invalid': wrong !== undefined || undefined })}
      {help !== undefined && (
        <span class="help" id={`${id}-help`}>
          {help}
        </span>
      )}
      {wrong !== undefined && (
        <span class="wrong" id={`${id}-wrong`} role="alert">
          {wrong}
        </span>
      )}
    </div>
  );
}

interface SliderProps extends FieldProps {
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly onChange: (value: number) => void;
}

export function Slider({ value, min, max, step, onChange, ...field }: SliderProps): JSX.Element {
  return (
    <Field {...field} aside={String(value)}>
      {(ids) => <input {...ids} type="range" min={min} max={max} step={step} value={value} onInput={({ currentTarget }) => onChange(Number(currentTarget.value))} />}
    </Field>
  );
}

interface NumberFieldProps extends FieldProps {
  readonly value: number | undefined;
  readonly min?: number;
  readonly max?: number;
  readonly placeholder?: string;
  readonly onChange: (value: number | undefined) => void;
}

/** A whole number, or nothing. */
export function NumberField({ value, min, max, placeholder, onChange, ...field }: NumberFieldProps): JSX.Element {
  return (
    <Field {...field}>
      {(ids) => (
        <input
          {...ids}
          type="number"
          inputMode="numeric"
          min={min}
          max={max}
          step={1}
          placeholder={placeholder}
          value={value ?? ''}
          onInput={({ currentTarget }) => onChange(currentTarget.value === '' || !currentTarget.validity.valid ? undefined : Math.trunc(currentTarget.valueAsNumber))}
        />
      )}
    </Field>
  );
}

interface TextFieldProps extends FieldProps {
  readonly value: string;
  readonly rows?: number;
  readonly placeholder?: string;
  readonly mono?: boolean;
  readonly onChange: (value: string) => void;
}

export function TextField({ value, rows = 3, placeholder, mono, onChange, ...field }: TextFieldProps): JSX.Element {
  return (
    <Field {...field}>
      {(ids) => (
        <textarea {...ids} class={mono ? 'mono' : undefined} rows={rows} spellcheck={!mono} placeholder={placeholder} value={value} onInput={({ currentTarget }) => onChange(currentTarget.value)} />
      )}
    </Field>
  );
}

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [value: T, words: string])[];
  readonly onChange: (value: T) => void;
}

/** A few choices side by side: radio buttons. */
export function Choices<T extends string>({ label, value, options, onChange }: ChoiceProps<T>): JSX.Element {
  const name = useId();
  return (
    <div class="field">
      <span class="label" id={`${name}-label`}>
        {label}
      </span>
      <div class="choices" role="radiogroup" aria-labelledby={`${name}-label`}>
        {options.map(([option, words]) => (
          <label key={option}>
            <input type="radio" name={name} value={option} checked={option === value} onChange={() => onChange(option)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </div>
  );
}

export function SelectField<T extends string>({ label, value, options, onChange, help }: ChoiceProps<T> & { readonly help?: string | undefined }): JSX.Element {
  return (
    <Field label={label} help={help}>
      {(ids) => (
        <select {...ids} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value as T)}>
          {options.map(([option, words]) => (
            <option key={option} value={option}>
              {words}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

"""OpenAI's Python client against `penjing serve`: chat, stream, schema, functions, embeddings, errors, retries.

    check_openai.py BASE_URL TEXT_MODEL [EMBEDDING_MODEL]

BASE_URL ends with /v1; the key is OPENAI_API_KEY, or 'none'. Prints one line of JSON per check, and ends with an error
at the first that fails.
"""

import asyncio
import json
import os
import sys

import openai

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 130}},
    "required": ["name", "age"],
}
MESSAGES = [{"role": "user", "content": "Speak, sir."}]


def tell(check, **facts):
    print(json.dumps({"check": check, **facts}, ensure_ascii=False))


def refused(work, kind, status):
    try:
        work()
    except kind as error:
        assert error.status_code == status, error
        assert error.request_id, "no request id"
        return error.code
    raise AssertionError(f"no {kind.__name__}")


def chat(client, model):
    ask = {"model": model, "messages": MESSAGES, "max_tokens": 24, "seed": 7}
    whole = client.chat.completions.create(**ask)
    text = whole.choices[0].message.content
    assert text and whole.usage.completion_tokens > 0
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    pieces = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert pieces == text, (pieces, text)
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    tell("chat", characters=len(text), chunks=len(chunks), usage=whole.usage.total_tokens)

    several = client.chat.completions.create(**ask, n=3, logprobs=True, top_logprobs=2)
    assert len(several.choices) == 3 and several.choices[0].logprobs.content[0].top_logprobs
    assert several.choices[0].message.content == text, "the first of several is not the one that is alone"
    tell("choices", texts=len(several.choices))


def forms(client, model):
    ask = {"model": model, "messages": MESSAGES, "max_tokens": 200, "seed": 7}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    person = json.loads(client.chat.completions.create(**ask, response_format=form).choices[0].message.content)
    assert set(person) >= {"name", "age"} and 0 <= person["age"] <= 130, person
    tools = [{"type": "function", "function": {"name": "greet", "parameters": PERSON}}]
    reply = client.chat.completions.create(**ask, tools=tools, tool_choice="required").choices[0]
    [call] = reply.message.tool_calls
    assert reply.finish_reason == "tool_calls" and call.function.name == "greet"
    assert 0 <= json.loads(call.function.arguments)["age"] <= 130
    with client.chat.completions.stream(**ask, tools=tools, tool_choice="required") as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == call.function.arguments
    tell("forms", person=person, arguments=json.loads(call.function.arguments))


def errors(client, model):
    ask = {"model": model, "messages": MESSAGES, "max_tokens": 8}
    codes = [
        refused(lambda: client.chat.completions.create(**{**ask, "model": "nobody"}), openai.NotFoundError, 404),
        refused(lambda: client.chat.completions.create(**{**ask, "temperature": 9}), openai.BadRequestError, 400),
        refused(lambda: client.chat.completions.create(**{**ask, "max_tokens": 10**6}), openai.BadRequestError, 400),
    ]
    assert codes[0] == "model_not_found" and codes[2] == "context_length_exceeded", codes
    if client.api_key != "none":
        refused(lambda: client.with_options(api_key="wrong").models.list(), openai.AuthenticationError, 401)
    tell("errors", codes=codes)


async def crowd(client, model, count):
    """More at a time than the server takes: with retries each has its answer."""
    ask = {"model": model, "messages": MESSAGES, "max_tokens": 16}
    alone = client.with_options(max_retries=0)
    once = await asyncio.gather(*(alone.chat.completions.create(**ask) for _ in range(count)), return_exceptions=True)
    limited = [reply for reply in once if isinstance(reply, openai.RateLimitError)]
    assert all(1 <= int(error.response.headers["retry-after"]) <= 60 for error in limited)
    assert len(limited) == sum(isinstance(reply, Exception) for reply in once), "refused otherwise than by 429"
    patient = client.with_options(max_retries=20)
    replies = await asyncio.gather(*(patient.chat.completions.create(**ask) for _ in range(count)))
    tell("crowd", asked=count, refused_without_retries=len(limited), answered_with_retries=len(replies))


async def crowded(base_url, key, model):
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:
        await crowd(client, model, 120)


def embeddings(client, model):
    texts = ["A sentence.", "Another one, longer than that."]
    floats = client.embeddings.create(model=model, input=texts, encoding_format="float")
    default = client.embeddings.create(model=model, input=texts)  # asks for base64 and decodes it
    for one, other in zip(floats.data, default.data, strict=True):
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True)) < 1e-6
    tell("embeddings", width=len(floats.data[0].embedding), tokens=floats.usage.total_tokens)


def main(base_url, text_model, embedding_model=None):
    key = os.environ.get("OPENAI_API_KEY", "none")
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    models = [model.id for model in client.models.list()]
    assert text_model in models, models
    chat(client, text_model)
    forms(client, text_model)
    errors(client, text_model)
    asyncio.run(crowded(base_url, key, text_model))
    if embedding_model:
        embeddings(client, embedding_model)
    tell("all", passed=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The official Python client against a server at argv[1] that serves the model "tiny"."""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
hello = [{"role": "user", "content": "Hello"}]
plain = dict(model="tiny", messages=hello, temperature=0, max_tokens=12)

assert [model.id for model in client.models.list()] == ["tiny"]

whole = client.chat.completions.create(**plain, logprobs=True, top_logprobs=2)
choice = whole.choices[0]
assert choice.message.role == "assistant" and isinstance(choice.message.content, str)
assert len(choice.logprobs.content) == whole.usage.completion_tokens
assert choice.logprobs.content[0].top_logprobs[0].token == choice.logprobs.content[0].token

text, reasons, usage = "", [], None
for chunk in client.chat.completions.create(**plain, stream=True, stream_options={"include_usage": True}):
    if chunk.choices:
        text += chunk.choices[0].delta.content or ""
        reasons += [chunk.choices[0].finish_reason] if chunk.choices[0].finish_reason else []
    usage = chunk.usage or usage
assert text == choice.message.content and reasons == [choice.finish_reason]
assert usage.total_tokens == whole.usage.total_tokens

several = client.chat.completions.create(**{**plain, "temperature": 1.5}, n=3, seed=7)
again = client.chat.completions.create(**{**plain, "temperature": 1.5}, n=3, seed=7)
assert [c.message.content for c in several.choices] == [c.message.content for c in again.choices]

done = client.completions.create(model="tiny", prompt=["Once", "Twice"], max_tokens=4, echo=True, logprobs=1, temperature=0)
assert done.choices[1].text.startswith("Twice") and len(done.choices[0].logprobs.tokens) >= 4

vectors = client.embeddings.create(model="tiny", input=["a", "b"])
assert len(vectors.data) == 2 and abs(sum(x * x for x in vectors.data[0].embedding) - 1) < 1e-3

# The client streams through its own state machine here, which checks the order of the pieces.
with client.chat.completions.stream(**plain) as events:
    final = [event for event in events] and events.current_completion_snapshot
assert final.choices[0].message.content == choice.message.content

form = {"type": "json_schema", "json_schema": {"name": "yes", "schema": {
    "type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": False}}}
import json
answer = client.chat.completions.create(**{**plain, "max_tokens": 40}, response_format=form)
assert isinstance(json.loads(answer.choices[0].message.content)["yes"], bool)

tools = [{"type": "function", "function": {"name": "switch", "parameters": form["json_schema"]["schema"]}}]
choice = {"type": "function", "function": {"name": "switch"}}
called = client.chat.completions.create(**{**plain, "max_tokens": 40}, tools=tools, tool_choice=choice)
call = called.choices[0].message.tool_calls[0]
assert call.function.name == "switch" and isinstance(json.loads(call.function.arguments)["yes"], bool)
assert called.choices[0].finish_reason == "tool_calls"

for wrong, kind, code in [
    (dict(model="gpt-4o"), openai.NotFoundError, "model_not_found"),
    (dict(messages=[{"role": "user", "content": "x" * 4000}]), openai.BadRequestError, "context_length_exceeded"),
    (dict(temperature=9), openai.BadRequestError, None),
]:
    try:
        client.chat.completions.create(**{**plain, **wrong})
    except kind as error:
        assert error.code == code, error
    else:
        raise AssertionError(wrong)
print("the official Python client", openai.__version__, "is content")

"""The OpenAI Python SDK against `replay serve`: every kind of stream folds, tool loops get through, refusals are told.

    replay serve --allow-refused -- python3 tests/clients/responses.py

Takes the address from OPENAI_BASE_URL. Prints one line for each case and exits 1 if one failed.
"""

import json
import os
import sys
import traceback
import urllib.request

import openai

client = openai.OpenAI(
    base_url=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ.get("OPENAI_API_KEY", "replay"),
    max_retries=0,
)
ROOT = os.environ["OPENAI_BASE_URL"].split("/v1")[0]
MODEL = "gpt-5.1"
CALL = {"type": "function_call", "name": "f", "call_id": "call_A", "arguments": {"x": "abcdef"}}
TOOLS = [{"type": "function", "name": "f", "strict": False, "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}]
cases = []


def case(function):
    cases.append(function)
    return function


def turn(**members):
    return {"x-replay-answer": json.dumps(members)}


def fold(headers, **members):
    members.setdefault("input", "hi")
    with client.responses.stream(model=MODEL, extra_headers=headers, **members) as stream:
        kinds = [event.type for event in stream]
        return stream.get_final_response(), kinds


def refused(words, **members):
    try:
        client.responses.create(model=MODEL, **members)
    except openai.APIStatusError as error:
        assert words in str(error), (words, str(error))
        return error
    raise AssertionError(f"not refused: {words}")


@case
def every_kind_of_stream_folds():
    streams = {
        "text": [{"type": "message", "text": "Hello äöü, this is a longer text."}],
        "empty text": [{"type": "message", "text": ""}],
        "refusal": [{"type": "message", "refusal": "I will not."}],
        "reasoning": [{"type": "reasoning", "text": "let me think"}, {"type": "message", "text": "so"}],
        "call": [CALL],
        "parallel calls": [CALL, {**CALL, "call_id": "call_B"}],
        "custom": [{"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin"}],
        "local shell": [{"type": "local_shell_call", "command": ["ls"]}],
        "web search": [{"type": "web_search_call", "action": {"type": "search", "query": "q"}}, {"type": "message", "text": "found"}],
        "code": [{"type": "code_interpreter_call", "code": "1", "container_id": "c", "outputs": []}],
        "image": [{"type": "image_generation_call", "result": "aGk="}],
        "computer": [{"type": "computer_call", "action": {"type": "screenshot"}, "pending_safety_checks": [], "status": "completed"}],
        "nothing": [],
    }
    for name, items in streams.items():
        for deltas in (1, 7):
            final, kinds = fold(turn(items=items, deltas=deltas))
            assert final.status == "completed", name
            assert [item.type for item in final.output] == [item["type"] for item in items], name
            assert kinds[0] == "response.created" and kinds[-1] == "response.completed", name
            for item, made in zip(items, final.output):
                if "text" in item and item["type"] == "message":
                    assert made.content[0].text == item["text"], name
                if "arguments" in item:
                    assert json.loads(made.arguments) == item["arguments"], name
                if "input" in item:
                    assert made.input == item["input"], name


@case
def ends_that_are_not_completed_are_told():
    for end in ({"incomplete": "max_output_tokens"}, {"failed": {"code": "server_error", "message": "broke"}}):
        try:
            fold(turn(text="half", end=end))
        except (RuntimeError, openai.APIError):
            continue
        raise AssertionError(f"{end} passed for completed")


@case
def a_tool_loop_by_previous_response_id():
    first = client.responses.create(model=MODEL, input="go", tools=TOOLS, extra_headers=turn(items=[CALL]))
    call = first.output[0]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
    refused("No tool output found for function call call_A.", previous_response_id=first.id, input="next")
    second = client.responses.create(model=MODEL, previous_response_id=first.id, input=[output], tools=TOOLS)
    assert second.output_text
    again = client.responses.retrieve(second.id)
    assert again.output_text == second.output_text and again.previous_response_id == first.id
    items = client.responses.input_items.list(second.id, order="asc", limit=2)
    assert [item.type for item in items.data] == ["message", "function_call"] and items.has_more
    everything = [item.type for item in client.responses.input_items.list(second.id, order="asc", limit=1)]
    assert everything == ["message", "function_call", "function_call_output"], everything
    client.responses.delete(second.id)
    refused("Previous response with id", previous_response_id=second.id, input="next")


@case
def a_tool_loop_by_history_without_storing():
    history = [{"role": "user", "content": "go"}]
    for number in range(3):
        answer, _ = fold(turn(items=[{**CALL, "call_id": f"call_{number}"}]), input=history, store=False, tools=TOOLS)
        history += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        refused(f"function call call_{number}.", input=history, store=False)
        history.append({"type": "function_call_output", "call_id": f"call_{number}", "output": "done"})
    answer = client.responses.create(model=MODEL, input=history, store=False)
    refused("not found", previous_response_id=answer.id, input="next")


@case
def conversations_hold_what_was_said():
    conversation = client.conversations.create(items=[{"type": "message", "role": "user", "content": "hi"}])
    client.responses.create(model=MODEL, conversation=conversation.id, input="go", extra_headers=turn(items=[CALL]))
    error = refused("No tool output found for function call call_A.", conversation=conversation.id, input="next")
    assert error.status_code == 400
    output = {"type": "function_call_output", "call_id": "call_A", "output": "done"}
    client.responses.create(model=MODEL, conversation=conversation.id, input=[output])
    kinds = [item.type for item in client.conversations.items.list(conversation.id, order="asc")]
    assert kinds == ["message", "message", "function_call", "function_call_output", "message"], kinds
    client.conversations.items.create(conversation.id, items=[{"type": "message", "role": "user", "content": "more"}])
    client.conversations.delete(conversation.id)
    refused("Conversation with id", conversation=conversation.id, input="next")


@case
def an_interrupted_stream_leaves_nothing_behind():
    for how in ("close", "reset", "eof", "half-line"):
        headers = {**turn(items=[CALL]), "x-replay-cut": f"response.output_item.done={how}"}
        seen = None
        try:
            with client.responses.create(model=MODEL, input="go", stream=True, extra_headers=headers) as stream:
                for event in stream:
                    if event.type == "response.created":
                        seen = event.response.id
                    assert event.type != "response.completed", how
        except AssertionError:
            raise
        except Exception:  # the transport's own, of whatever library carries it
            assert how != "eof"
        error = refused("Previous response with id", previous_response_id=seen, input="next")
        assert error.code == "previous_response_not_found", how


@case
def a_client_that_leaves_is_noticed():
    headers = {**turn(items=[CALL], deltas=5), "x-replay-delay": "20"}
    with client.responses.create(model=MODEL, input="go", stream=True, extra_headers=headers) as stream:
        for event in stream:
            if event.type == "response.function_call_arguments.delta":
                break
    for _ in range(500):
        with urllib.request.urlopen(f"{ROOT}/_replay/requests") as journal:
            last = json.load(journal)["requests"][-1]
        if last["end"]:
            break
    assert last["end"] == "client_closed", last["end"]


@case
def errors_have_their_classes():
    for status, kind in ((429, openai.RateLimitError), (500, openai.InternalServerError), (401, openai.AuthenticationError)):
        try:
            client.responses.create(model=MODEL, input="go", extra_headers={"x-replay-fail": str(status)})
        except kind as error:
            assert error.status_code == status
            continue
        raise AssertionError(status)


@case
def the_rest_of_the_api():
    assert client.models.list().data
    assert client.responses.input_tokens.count(model=MODEL, input="some words").input_tokens > 0
    compacted = client.responses.compact(model=MODEL, input=[{"role": "user", "content": "hi"}])
    assert compacted.object == "response.compaction" and compacted.output[-1].type == "compaction"
    answer = client.responses.create(
        model=MODEL,
        input=[item.model_dump(exclude_none=True) for item in compacted.output] + [{"role": "user", "content": "go on"}],
    )
    assert answer.output_text


failed = 0
for function in cases:
    try:
        function()
        print("ok  ", function.__name__)
    except Exception:
        failed += 1
        print("FAIL", function.__name__)
        traceback.print_exc(file=sys.stdout)
print(f"openai {openai.__version__}: {len(cases) - failed} of {len(cases)}")
sys.exit(1 if failed else 0)

"""Sessions with the OpenAI Python SDK, alone or below the Agents SDK.

    python session.py raw|agents SCENARIO[=BASE_URL]...

A scenario is text, tool, in-tool, mid-arguments, second-stream or bytes. Without a base URL it is OPENAI_BASE_URL. Prints what the program saw, one JSON value a line: every event, every refusal, every final text. Where it interrupts
itself depends on what it has received and on nothing else, so two runs against equal answers print the same.
"""

import asyncio
import json
import os
import sys

import openai

MODEL = "gpt-4.1"
FIRST, NEXT = "begin", "this is the next message"
DELTA = "response.function_call_arguments.delta"
TEXT = "response.output_text.delta"
TOOLS = [
    {
        "type": "function",
        "name": "look_up",
        "strict": False,
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
    }
]


scenario = None


def say(**members):
    print(json.dumps({"scenario": scenario, **members}), flush=True)


def raw(base_url):
    client = openai.OpenAI(max_retries=0, base_url=base_url)

    def stream(stop=None, **members):
        """Reads a stream, up to the second event of the type `stop`; returns the id of its response and its calls."""
        made, calls, left = None, [], 2
        with client.responses.create(model=MODEL, stream=True, tools=TOOLS, **members) as events:
            for event in events:
                say(event=event.to_dict())
                if event.type == "response.created":
                    made = event.response.id
                if event.type == "response.output_item.done" and event.item.type == "function_call":
                    calls.append(event.item)
                if event.type == stop:
                    left -= 1
                    if left == 0:
                        break
        return made, calls

    def go_on(**members):
        try:
            stream(**members)
        except openai.APIStatusError as error:
            say(refused=error.status_code, message=str(error), param=error.param, code=error.code)

    if scenario == "bytes":
        with client.responses.with_streaming_response.create(model=MODEL, stream=True, input=FIRST) as answer:
            body = b"".join(answer.iter_bytes())
        say(status=answer.status_code, body=body.decode())
        return
    if scenario == "text":
        made, _ = stream(input=FIRST)
        go_on(previous_response_id=made, input=NEXT)
        return
    if scenario == "mid-arguments":
        made, _ = stream(input=FIRST, stop=DELTA)
        go_on(previous_response_id=made, input=NEXT)
        go_on(input=[{"role": "user", "content": FIRST}, {"role": "user", "content": NEXT}])
        return
    made, calls = stream(input=FIRST)
    if scenario == "in-tool":
        # the tool was left: there is no output to send
        go_on(previous_response_id=made, input=NEXT)
        return
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "found it"} for call in calls]
    stop = TEXT if scenario == "second-stream" else None
    second, _ = stream(previous_response_id=made, input=outputs, stop=stop)
    go_on(previous_response_id=made if stop else second, input=NEXT)


async def with_agents(base_url):
    import agents

    agents.set_tracing_disabled(True)
    started = asyncio.Event()

    @agents.function_tool
    async def look_up(key: str) -> str:
        started.set()
        if scenario == "in-tool":
            await asyncio.Event().wait()
        return "found it"

    client = openai.AsyncOpenAI(max_retries=0, base_url=base_url)
    model = agents.OpenAIResponsesModel(model=MODEL, openai_client=client)
    agent = agents.Agent(name="clerk", instructions="Be brief.", tools=[look_up], model=model)
    stop = {"mid-arguments": DELTA, "second-stream": TEXT}.get(scenario)
    result = agents.Runner.run_streamed(agent, FIRST)
    if scenario == "in-tool":

        async def leave():
            await started.wait()
            result.cancel()

        leaving = asyncio.create_task(leave())
    left = 2
    async for event in result.stream_events():
        data = getattr(event, "data", None)
        if data is None:
            say(step=getattr(event, "name", event.type))
            continue
        say(event=data.to_dict())
        if data.type == stop:
            left -= 1
            if left == 0:
                result.cancel()
    if scenario == "in-tool":
        await leaving
    say(last_response_id=result.last_response_id, output=result.final_output)
    try:
        again = await agents.Runner.run(agent, NEXT, previous_response_id=result.last_response_id)
        say(output=again.final_output)
    except openai.APIStatusError as error:
        say(refused=error.status_code, message=str(error), param=error.param, code=error.code)


if __name__ == "__main__":
    kind, *wanted = sys.argv[1:]
    os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")
    for one in wanted:
        scenario, _, url = one.partition("=")
        if kind == "raw":
            raw(url or None)
        else:
            asyncio.run(with_agents(url or None))

"""Two turns with the OpenAI Agents SDK for Python, for `replay sweep --first`.

    python turns.py previous|history

Ctrl-C (SIGINT) cancels the first turn; a broken connection ends it. The next turn goes on from the last response's id
(previous) or from the history that the SDK gives back (history).
"""

import asyncio
import signal
import sys

import agents
import openai


@agents.function_tool
async def look_up(key: str) -> str:
    await asyncio.sleep(1)
    return "found it"


async def main(way):
    agents.set_tracing_disabled(True)
    model = agents.OpenAIResponsesModel(model="gpt-4.1", openai_client=openai.AsyncOpenAI())
    agent = agents.Agent(name="clerk", instructions="Be brief.", tools=[look_up], model=model)
    result = agents.Runner.run_streamed(agent, "begin")
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, result.cancel)
    try:
        async for _ in result.stream_events():
            pass
    except Exception as error:
        print(f"first turn: {type(error).__name__}: {error}", file=sys.stderr)
    if way == "history":
        words = [*result.to_input_list(), {"role": "user", "content": "continue"}]
        again = agents.Runner.run(agent, words)
    else:
        again = agents.Runner.run(agent, "continue", previous_response_id=result.last_response_id)
    try:
        print((await again).final_output)
    except openai.APIStatusError as error:
        print(f"next turn: {error}", file=sys.stderr)


asyncio.run(main(sys.argv[1]))

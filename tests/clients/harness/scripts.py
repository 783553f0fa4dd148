"""What the endpoint answers in each scenario, and what is to be said of the session."""

NEXT = "this is the next message"
DONE = {"text": "All done."}
LONG = "A long answer, which somebody interrupts before it ends."
DELTA = "response.function_call_arguments.delta"
TEXT = "response.output_text.delta"

SCENARIOS = ("text", "tool", "in-tool", "mid-arguments", "second-stream")


def script(scenario, call, opening=None):
    """The answers to a first message, and to one that says `NEXT`.

    `opening` is a message in front of a call that is cut in its arguments: a client that shows it has got so far."""
    said = [{"type": "message", "text": opening}] if opening else []
    first = {
        "bytes": [{"text": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. 🦊", "deltas": 9}],
        "text": [{"text": "Hello from the endpoint."}],
        "tool": [{"items": [call]}, DONE],
        "in-tool": [{"items": [call]}, DONE],
        "mid-arguments": [{"items": [*said, call], "deltas": 4, "cut": f"{DELTA}#2=stall"}, DONE],
        "second-stream": [{"items": [call]}, second(opening), DONE],
    }[scenario]
    return {"conversations": [{"when": {"contains": NEXT}, "turns": [DONE] * 4}, {"when": {"side": False}, "turns": first}]}


def second(opening):
    """The second answer, which stalls in its text. With an opening, behind a whole message."""
    if opening is None:
        return {"text": LONG, "deltas": 4, "cut": f"{TEXT}#2=stall"}
    items = [{"type": "message", "text": opening}, {"type": "message", "text": LONG}]
    return {"items": items, "deltas": 4, "cut": f"{TEXT}#6=stall"}

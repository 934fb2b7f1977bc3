"""The Messages API of Anthropic: a stream of events where one is asked for."""

import json

import model as script


def is_for(path):
    return "/v1/messages" in path


def answer(path, body, model, farewell):
    if "count_tokens" in path:
        return "application/json", json.dumps({"input_tokens": 100})
    block = farewell_block(farewell)
    if body.get("tools"):
        call = model.next(results(body))
        if call is not None:
            tool, arguments = model.calls[call]
            block = {"type": "tool_use", "id": script.name(call), "name": tool, "input": arguments}
    reason = "tool_use" if block["type"] == "tool_use" else "end_turn"
    message = {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": [block],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }
    return stream(message) if body.get("stream") else ("application/json", json.dumps(message))


def farewell_block(text):
    return {"type": "text", "text": text}


def results(body):
    """What came of each call, of a conversation's messages."""
    found = {}
    for message in body.get("messages", []):
        content = message.get("content")
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_result":
                number = script.number(block.get("tool_use_id"))
                if number is not None:
                    found[number] = script.text_of(block.get("content"))
    return found


def stream(message):
    block = message["content"][0]
    if block["type"] == "tool_use":
        start = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        start = {**block, "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    items = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 10}},
        {"type": "message_stop"},
    ]
    return script.events((item["type"], item) for item in items)

"""The Responses and the Chat Completions API of OpenAI."""

import json

import model as script


def is_for(path):
    return "/responses" in path or "/chat/completions" in path


def answer(path, body, model, farewell):
    if "/responses" in path:
        return responses(body, model, farewell)
    return chat(body, model, farewell)


def next_call(body, model, found):
    call = model.next(found) if body.get("tools") else None
    return call, None if call is None else model.calls[call]


def responses(body, model, farewell):
    found = {}
    for item in body.get("input", []) if isinstance(body.get("input"), list) else []:
        if str(item.get("type")).endswith("_call_output"):
            number = script.number(item.get("call_id"))
            if number is not None:
                found[number] = script.text_of(item.get("output"))
    call, what = next_call(body, model, found)
    if what is None:
        part = {"type": "output_text", "text": farewell, "annotations": []}
        item = {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": [part]}
    elif isinstance(what[1], str):
        item = {"type": "custom_tool_call", "id": f"ctc_{call}", "call_id": script.name(call), "name": what[0], "input": what[1]}
    else:
        arguments = json.dumps(what[1])
        item = {
            "type": "function_call",
            "id": f"fc_{call}",
            "call_id": script.name(call),
            "name": what[0],
            "arguments": arguments,
            "status": "completed",
        }
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 110,
    }
    response = {"id": "resp_scripted", "object": "response", "model": body.get("model"), "output": [item], "usage": usage}
    if not body.get("stream"):
        return "application/json", json.dumps({**response, "status": "completed"})
    items = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
    ]
    if item["type"] == "message":
        place = {"item_id": "msg_0", "output_index": 0, "content_index": 0}
        items.append({"type": "response.output_text.delta", **place, "delta": farewell})
    items += [
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**response, "status": "completed"}},
    ]
    return script.events((item["type"], item) for item in items)


def chat(body, model, farewell):
    found = {}
    for message in body.get("messages", []):
        if message.get("role") == "tool":
            number = script.number(message.get("tool_call_id"))
            if number is not None:
                found[number] = script.text_of(message.get("content"))
    call, what = next_call(body, model, found)
    message = {"role": "assistant", "content": farewell}
    reason = "stop"
    if what is not None:
        function = {"name": what[0], "arguments": json.dumps(what[1])}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"index": 0, "id": script.name(call), "type": "function", "function": function}],
        }
        reason = "tool_calls"
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    answer = {"id": "chat_scripted", "created": 0, "model": body.get("model"), "usage": usage}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return "application/json", json.dumps({**answer, "object": "chat.completion", "choices": [choice]})
    chunk = {**answer, "object": "chat.completion.chunk"}
    first = {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}
    last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return script.events([(None, first), (None, last), (None, "[DONE]")])

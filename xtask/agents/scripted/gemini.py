"""The generateContent API of Gemini."""

import json

import model as script


def is_for(path):
    return "enerateContent" in path or ":countTokens" in path


def answer(path, body, model, farewell):
    if ":countTokens" in path:
        return "application/json", json.dumps({"totalTokens": 100})
    part = {"text": farewell}
    if any(tool.get("functionDeclarations") for tool in body.get("tools") or []):
        call = model.next(results(body))
        if call is not None:
            tool, arguments = model.calls[call]
            part = {"functionCall": {"id": script.name(call), "name": tool, "args": arguments}}
    response = {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [part]}}],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110},
        "modelVersion": "scripted",
    }
    if "stream" in path:
        return script.events([(None, response)])
    return "application/json", json.dumps(response)


def results(body):
    """In the order of the calls: a response need not say which it is for."""
    found = {}
    for content in body.get("contents", []):
        for part in content.get("parts", []):
            response = part.get("functionResponse")
            if response is not None:
                found[len(found)] = script.text_of(response.get("response"))
    return found

"""A model that follows a script: an HTTP server on the loopback that answers as several providers' do.

Whatever a program asks, it is told the script's next call of a tool, until the script is at its end. What each call
came to is kept as the program tells it, so it is what an agent would see.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import gemini
import openai

FAREWELL = "The script is at its end."
PROTOCOLS = (anthropic, openai, gemini)


class Model:
    """The script, how far it is, and what came of each call."""

    def __init__(self):
        self.calls = []  # (tool, arguments) of the program's own tools
        self.results = {}
        self.asked = []
        self.lock = threading.Lock()

    def next(self, results):
        """The number of the call that comes now, or none; `results` is what came of those before."""
        with self.lock:
            self.results.update(results)
            done = len(self.results)
            return done if done < len(self.calls) else None


def serve():
    """Starts a server, and gives the model, whose script is empty, and the server's port."""
    model = Model()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer("application/json", json.dumps({"data": [], "models": []}))

        def do_HEAD(self):
            self.answer("text/plain", "")

        def do_POST(self):
            length = int(self.headers.get("content-length") or 0)
            try:
                body = json.loads(self.rfile.read(length) or b"{}")
            except ValueError:
                body = {}
            model.asked.append(self.path)
            for protocol in PROTOCOLS:
                if protocol.is_for(self.path):
                    kind, text = protocol.answer(self.path, body, model, FAREWELL)
                    return self.answer(kind, text)
            return self.answer("application/json", "{}")

        def answer(self, kind, text):
            data = text.encode()
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return model, server.server_address[1]


def name(number):
    """What a call is known by in a conversation."""
    return f"call_step_{number}"


def number(call):
    """The number of the call that is known by this, or none."""
    _, found, rest = str(call).partition("call_step_")
    return int(rest) if found and rest.isdigit() else None


def events(items):
    """A stream of server-sent events: pairs of a name, which may be none, and a value."""
    lines = []
    for event, value in items:
        if event:
            lines.append(f"event: {event}\n")
        lines.append(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n")
    return "text/event-stream", "".join(lines)


def text_of(content):
    """The text of what a tool's result or a message holds, however it is wrapped."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(one) for one in content)
    if isinstance(content, dict):
        for key in ("text", "output", "content", "error"):
            if key in content:
                return text_of(content[key])
        return json.dumps(content)
    return "" if content is None else str(content)

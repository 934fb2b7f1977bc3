"""The programs: how they are started, what they call their tools, and what they keep where."""

import json
from dataclasses import dataclass, field
from typing import Callable

PROMPT = "Do what there is to do."


@dataclass
class Program:
    name: str
    # The command, of the model's port.
    command: Callable[[int], list]
    # The program's own tool and its arguments, of an abstract tool's.
    call: Callable[[str, dict], tuple]
    environment: Callable[[int], dict] = lambda port: {}
    # Files in the home directory that are there when it starts.
    files: Callable[[int, str], dict] = lambda port, project: {}
    # Files below the home directory that another start of it would take commands or orders from.
    later: list = field(default_factory=list)


def claude_call(tool, a):
    return {
        "shell": lambda: ("Bash", {"command": a["command"], "description": "Runs a command"}),
        "read": lambda: ("Read", {"file_path": a["path"]}),
        "write": lambda: ("Write", {"file_path": a["path"], "content": a["content"]}),
        "edit": lambda: ("Edit", {"file_path": a["path"], "old_string": a["old"], "new_string": a["new"]}),
    }[tool]()


CLAUDE = Program(
    name="claude",
    command=lambda port: ["claude", "--dangerously-skip-permissions", "-p", PROMPT],
    call=claude_call,
    environment=lambda port: {"ANTHROPIC_API_KEY": "scripted", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}"},
    files=lambda port, project: {
        ".claude.json": json.dumps({"hasCompletedOnboarding": True, "numStartups": 3}),
        ".claude/settings.json": "{}",
        ".claude/CLAUDE.md": "Be brief.\n",
    },
    later=[
        ".claude.json",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/CLAUDE.md",
        ".claude/hooks/stop.sh",
        ".claude/commands/all.md",
        ".claude/skills/all/SKILL.md",
        ".claude/agents/all.md",
        ".claude/plugins/installed_plugins.json",
        "project/.claude/settings.local.json",
        "project/.mcp.json",
    ],
)


def codex_call(tool, a):
    patch = "*** Begin Patch\n{}*** End Patch\n".format
    return {
        "shell": lambda: ("exec_command", {"cmd": a["command"]}),
        "read": lambda: ("exec_command", {"cmd": f"sed -n 1,200p {a['path']}"}),
        "write": lambda: (
            "apply_patch",
            patch(f"*** Add File: {a['path']}\n" + "".join(f"+{line}\n" for line in a["content"].splitlines())),
        ),
        "edit": lambda: (
            "apply_patch",
            patch(
                f"*** Update File: {a['path']}\n@@\n-int answer(void) {{ return {a['old']}; }}\n"
                f"+int answer(void) {{ return {a['new']}; }}\n"
            ),
        ),
    }[tool]()


CODEX = Program(
    name="codex",
    command=lambda port: ["codex", "exec", "--dangerously-bypass-approvals-and-sandbox", PROMPT],
    call=codex_call,
    environment=lambda port: {"OPENAI_API_KEY": "scripted"},
    files=lambda port, project: {
        ".codex/config.toml": 'model = "gpt-5.5"\nmodel_provider = "scripted"\n'
        "[model_providers.scripted]\n"
        'name = "scripted"\nwire_api = "responses"\nenv_key = "OPENAI_API_KEY"\n'
        f'base_url = "http://127.0.0.1:{port}/v1"\n'
        f'[projects."{project}"]\ntrust_level = "trusted"\n',
        ".codex/AGENTS.md": "Be brief.\n",
    },
    later=[
        ".codex/config.toml",
        ".codex/AGENTS.md",
        ".codex/AGENTS.override.md",
        ".codex/hooks.json",
        ".codex/rules/default.rules",
        ".codex/prompts/all.md",
        ".codex/skills/all/SKILL.md",
        ".agents/skills/all/SKILL.md",
        ".codex/plugins/all/plugin.json",
        "project/.codex/config.toml",
    ],
)


def opencode_call(tool, a):
    return {
        "shell": lambda: ("bash", {"command": a["command"], "description": "Runs a command"}),
        "read": lambda: ("read", {"filePath": a["path"]}),
        "write": lambda: ("write", {"filePath": a["path"], "content": a["content"]}),
        "edit": lambda: ("edit", {"filePath": a["path"], "oldString": a["old"], "newString": a["new"]}),
    }[tool]()


OPENCODE = Program(
    name="opencode",
    command=lambda port: ["opencode", "run", "--auto", PROMPT],
    call=opencode_call,
    environment=lambda port: {"OPENCODE_DISABLE_MODELS_FETCH": "1"},
    files=lambda port, project: {
        ".config/opencode/opencode.json": json.dumps(
            {
                "model": "scripted/scripted",
                "small_model": "scripted/scripted",
                "provider": {
                    "scripted": {
                        "npm": "@ai-sdk/openai-compatible",
                        "options": {"baseURL": f"http://127.0.0.1:{port}/v1", "apiKey": "scripted"},
                        "models": {"scripted": {"tool_call": True, "limit": {"context": 100000, "output": 4000}}},
                    }
                },
            }
        )
    },
    later=[
        ".config/opencode/opencode.json",
        ".config/opencode/AGENTS.md",
        ".config/opencode/plugins/all.js",
        ".config/opencode/commands/all.md",
        ".config/opencode/agents/all.md",
        ".config/opencode/skills/all/SKILL.md",
        ".config/opencode/tools/all.js",
        ".opencode/bin/opencode",
        "project/.opencode/plugins/all.js",
        "project/opencode.json",
    ],
)


def gemini_call(tool, a):
    # Its own tools reach neither out of the checkout nor into `.git`.
    if tool == "read" and "/project/" not in a["path"]:
        tool, a = "shell", {"command": f"cat {a['path']}"}
    if tool == "write" and "/.git/" in a["path"]:
        tool, a = "shell", {"command": f"printf %s '{a['content']}' > {a['path']}"}
    return {
        "shell": lambda: ("run_shell_command", {"command": a["command"]}),
        "read": lambda: ("read_file", {"file_path": a["path"]}),
        "write": lambda: ("write_file", {"file_path": a["path"], "content": a["content"]}),
        "edit": lambda: (
            "replace",
            {"file_path": a["path"], "instruction": "Mend it.", "old_string": a["old"], "new_string": a["new"]},
        ),
    }[tool]()


GEMINI = Program(
    name="gemini",
    command=lambda port: ["gemini", "--yolo", "--skip-trust", "-m", "gemini-2.5-flash", "-p", PROMPT],
    call=gemini_call,
    environment=lambda port: {"GEMINI_API_KEY": "scripted", "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}"},
    files=lambda port, project: {
        ".gemini/settings.json": json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}),
        ".gemini/GEMINI.md": "Be brief.\n",
    },
    later=[
        ".gemini/settings.json",
        ".gemini/GEMINI.md",
        ".gemini/trustedFolders.json",
        ".gemini/commands/all.toml",
        ".gemini/extensions/all/gemini-extension.json",
        ".gemini/policies/all.toml",
        ".gemini/skills/all/SKILL.md",
        ".gemini/agents/all.md",
        ".gemini/hooks/all.sh",
        ".gemini/.env",
        "project/.gemini/settings.json",
    ],
)


PROGRAMS = {program.name: program for program in [CLAUDE, CODEX, OPENCODE, GEMINI]}

"""`tailrace chat`: ask a running server and watch the answer come."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated, Any, Final

import typer

from tailrace.cli.asking import LOCAL, KeyFlag, UrlFlag, complain
from tailrace.cli.serve import INTERRUPTED
from tailrace.cli.terminal import Screen, open_screen
from tailrace.client import Answer, Client
from tailrace.errors import TailraceError
from tailrace.events import Event, Finished, ReasoningDelta, TextDelta
from tailrace.ids import new_id

_PROMPT: Final = "> "


def chat(
    *,
    prompt: Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="What to ask; without it, a talk.")] = None,
    url: UrlFlag = LOCAL,
    key: KeyFlag = None,
    model: Annotated[str | None, typer.Option(help="The model; without it, the server's default.")] = None,
    session: Annotated[str | None, typer.Option(help="The conversation to go on with, kept on the server.")] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told to be.")] = None,
) -> int:
    """Ask, and watch the answer come. Ctrl-C stops it and shows what was used. What is piped in is asked too."""
    asked = _read_prompt(prompt)
    options = {"model": model, "system": system}
    with asyncio.Runner() as runner:
        talk = runner.run(_open(url, key, options))
        try:
            if asked is not None:
                return runner.run(talk.ask(asked, session))
            return _converse(runner, talk, session or new_id("chat_", 8))
        finally:
            runner.run(talk.client.aclose())


def _read_prompt(prompt: str | None) -> str | None:
    """The prompt and what is piped in after it; None where there is a terminal and nothing was asked yet."""
    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    asked = "\n\n".join(text for text in (prompt, piped) if text)
    if asked:
        return asked
    if prompt is None and sys.stdin.isatty():
        return None
    raise typer.BadParameter("there is nothing to ask: the prompt is empty")


async def _open(url: str, key: str | None, options: dict[str, Any]) -> _Talk:
    return _Talk(Client(url, key=key), options)


def _converse(runner: asyncio.Runner, talk: _Talk, session: str) -> int:
    """Question after question, until the input ends."""
    typer.echo("Ctrl-C stops an answer, Ctrl-D ends the talk.", err=True)
    while True:
        try:
            question = input(_PROMPT).strip()
        except EOFError:
            typer.echo(err=True)
            return 0
        if question:
            runner.run(talk.ask(question, session))


class _Talk:
    """One server, and what every question to it has in common."""

    def __init__(self, client: Client, options: dict[str, Any]) -> None:
        self.client = client
        self._options = options

    async def ask(self, question: str, session: str | None) -> int:
        """Show one answer, and return the exit status: 0 for a whole one."""
        try:
            async with self.client.stream(question, session_id=session, **self._options) as answer:
                with open_screen() as screen:
                    return await _show(answer, screen)
        except TailraceError as error:
            return complain(error)


async def _show(answer: Answer, screen: Screen) -> int:
    stopwatch = _Stopwatch()
    try:
        async for event in answer:
            stopwatch.note(event)
            _show_event(event, answer, screen)
    except asyncio.CancelledError:
        return await _stop(answer, screen)
    if sys.stdout.isatty():
        screen.show_note(stopwatch.summary(answer))
    return 0


def _show_event(event: Event, answer: Answer, screen: Screen) -> None:
    match event:
        case TextDelta(text=text):
            screen.show_text(text)
        case ReasoningDelta(text=text):
            screen.show_reasoning(text)
        case Finished():
            for use in answer.tool_calls.values():
                screen.show_note(f"calls {use.name}({use.arguments})")


async def _stop(answer: Answer, screen: Screen) -> int:
    """Ctrl-C: nothing more is paid for, and what was is told."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if answer.id:
        state = await answer.cancel()
        screen.show_note(f"stopped · {_describe_usage(state['usage'] or {})}")
    return INTERRUPTED


class _Stopwatch:
    """When the first token came, and how fast the others did."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: float | None = None

    def note(self, event: Event) -> None:
        """An event has come."""
        if self._first is None and isinstance(event, TextDelta | ReasoningDelta):
            self._first = time.monotonic()

    def summary(self, answer: Answer) -> str:
        """One line: usage, time to the first token, speed, reason."""
        parts = [answer.finish_reason or ""]
        if (usage := answer.usage) is not None:
            parts.append(
                _describe_usage({name: getattr(usage, name) for name in ("input_tokens", "output_tokens", "source")})
            )
            if self._first is not None and usage.output_tokens:
                seconds = max(time.monotonic() - self._first, 1e-3)
                parts.append(f"first after {self._first - self._began:.2f} s")
                parts.append(f"{usage.output_tokens / seconds:.0f} tokens/s")
        return " · ".join(parts)


def _describe_usage(usage: dict[str, object]) -> str:
    return (
        f"{usage.get('input_tokens', 0)} tokens in, {usage.get('output_tokens', 0)} out"
        f" ({usage.get('source', 'estimated')})"
    )

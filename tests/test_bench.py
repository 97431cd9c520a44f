"""The bench's own honesty: what it counts, what it refuses, what it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import wire
from bench.cpu import parse_schedstat, read_threads, sum_spent
from bench.errors import Refused, ResultsError, ScriptError
from bench.family import find_family, parse_parent
from bench.figures import Figure, Goal, Spread, percentile, ratios, spread
from bench.load import Load
from bench.memory import parse_pss_kib, read_kib
from bench.pages import fill_page, publish
from bench.plot import write_plot
from bench.results import Machine, Results, RowResult, read_results, write_results
from bench.rounds import rotate
from bench.rows import list_rows
from bench.script import Script, parse_script
from bench.table import judge, write_number, write_table
from bench.tokens import AnswerCheck
from bench.upstream import first_delay_ms
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
DONE = b"data: [DONE]"
FIGURE = Figure(name="paced", title="paced, CPU a token", unit="µs", goal=Goal(at_most=2.2, of="times"))


def join_chunks(stream: bytes) -> bytes:
    """The body of a chunked answer, its head left out."""
    body, rest = b"", stream.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def upstream_body(tokens: int) -> bytes:
    """The body of the upstream's own answer."""
    return join_chunks(b"".join(wire.burst_frames(Script(tokens=tokens))))


def delta_body(numbers: list[int]) -> bytes:
    """A body in tailrace's format, with these tokens."""
    frames = [b'id: gen_1.%d\ndata: {"delta":"t%d@5;","tokens":1,"done":false}\n\n' % (n, n) for n in numbers]
    end = b'data: {"delta":"","tokens":0,"finish_reason":"stop","done":true}\n\ndata: [DONE]\n\n'
    return b"".join(frames) + end


def find_flaw(body: bytes, tokens: int) -> str | None:
    """What the check says of a whole body."""
    check = AnswerCheck(tokens=tokens, done=DONE)
    check.feed(body, 0)
    return check.flaw_at_end()


class TestScripts:
    """A model's name is read as the script it spells, or refused."""

    @pytest.mark.parametrize(
        ("model", "script"),
        [
            ("n1", Script(tokens=1)),
            ("burst-n1000", Script(tokens=1000)),
            ("paced-n100-d20", Script(tokens=100, delay_ms=20)),
            ("paced-n500-d1-k25", Script(tokens=500, delay_ms=1, lump=25)),
        ],
    )
    def test_reads_a_script(self, model: str, script: Script) -> None:
        """Each form that the documentation names is read."""
        assert parse_script(model) == script

    @pytest.mark.parametrize(
        "model",
        [
            *("", "gpt-4o", "n", "n0", "n100001", "n1\n", "n\u0661"),
            *("paced-n5", "paced-n5-d0", "paced-n5-d60001", "paced-n2-d1-k3", "paced-n2-d1-k0"),
        ],
    )
    def test_refuses_what_is_none(self, model: str) -> None:
        """A name that is no script, or one out of bounds, is an error that quotes it."""
        with pytest.raises(ScriptError, match=re.escape(repr(model))):
            parse_script(model)


class TestSchedstat:
    """CPU time is what the kernel counts, for all of a server, or nothing."""

    def test_reads_the_nanoseconds(self) -> None:
        """The first count of a thread's schedstat is its time on a CPU."""
        assert parse_schedstat("62261007 332375 23\n") == 62261007

    @pytest.mark.parametrize("text", ["", "1 2", "1 2 3 4", "1.5 2 3", "-1 2 3"])
    def test_refuses_what_is_no_schedstat(self, text: str) -> None:
        """A line with other than three counts is an error, never a figure."""
        with pytest.raises(ValueError, match="three counts"):
            parse_schedstat(text)

    def test_sums_all_threads(self) -> None:
        """Old threads count by their growth, new ones in whole."""
        assert sum_spent({1: 100, 2: 50}, {1: 150, 2: 50, 3: 7}) == 57

    def test_refuses_a_lost_thread(self) -> None:
        """A thread that ended took its count along, so there is no sum."""
        with pytest.raises(Refused, match="1 of the server's 2 threads"):
            sum_spent({1: 100, 2: 50}, {1: 150})

    def test_counts_work_in_any_thread(self) -> None:
        """Work of a thread other than the first is in this process's reading."""
        leave, done = threading.Event(), threading.Event()

        def work() -> None:
            end = time.thread_time_ns() + 60_000_000
            while time.thread_time_ns() < end:
                pass
            done.set()
            leave.wait(30)

        before = read_threads(os.getpid())
        thread = threading.Thread(target=work)
        thread.start()
        done.wait(30)
        spent = sum_spent(before, read_threads(os.getpid()))
        leave.set()
        thread.join()
        assert spent > 50_000_000

    def test_counts_descendants(self) -> None:
        """A child of a child belongs to the server."""
        script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "1\n"
            family = find_family(child.pid)
            memory = read_kib(child.pid)
            child.communicate("\n", timeout=30)
        assert len(family) == 2
        assert memory > 1000

    @pytest.mark.parametrize("name", ["nginx", "a b", "a) S 1 (b", "(("])
    def test_reads_a_parent_behind_any_name(self, name: str) -> None:
        """Blanks and brackets in a process's name don't hide its parent."""
        assert parse_parent(f"77 ({name}) S 42 77 77 0 -1") == 42

    def test_reads_pss(self) -> None:
        """Memory is the line for Pss, not one that begins like it."""
        assert parse_pss_kib("Rss:    9 kB\nPss_Anon:   1 kB\nPss:    325 kB\n") == 325
        with pytest.raises(ValueError, match="Pss"):
            parse_pss_kib("Rss: 9 kB\n")


class TestAnswerCheck:
    """Only an answer whose tokens came once each, in order, to a proper end, is whole."""

    @given(tokens=st.integers(1, 30), cuts=st.lists(st.integers(0, 10_000), max_size=20))
    def test_any_cutting_is_the_same(self, tokens: int, cuts: list[int]) -> None:
        """However the body is cut, a whole answer is whole, and each token is timed once."""
        body = upstream_body(tokens)
        edges = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
        check = AnswerCheck(tokens=tokens, done=DONE, timed_since=0)
        for start, end in pairwise(edges):
            check.feed(body[start:end], 9)
        assert check.flaw_at_end() is None
        assert check.delays == [9] * tokens

    @given(numbers=st.lists(st.integers(1, 6), max_size=7))
    def test_only_the_right_order_is_whole(self, numbers: list[int]) -> None:
        """Of all sequences of tokens only 1, 2, 3, 4, 5 is an answer of five."""
        assert (find_flaw(delta_body(numbers), 5) is None) == (numbers == [1, 2, 3, 4, 5])

    def test_reads_both_formats(self) -> None:
        """The upstream's own format and tailrace's pass alike, deltas joined or not."""
        assert find_flaw(upstream_body(3), 3) is None
        assert find_flaw(delta_body([1, 2, 3]), 3) is None
        assert (
            find_flaw(b'data: {"delta":"t1@5;t2@5;"}\n\ndata: {"finish_reason": "stop"}\n\ndata: [DONE]\n\n', 2) is None
        )

    @given(cuts=st.lists(st.integers(0, 10_000), max_size=20))
    def test_what_is_told_again_does_not_count(self, cuts: list[int]) -> None:
        """Behind the mark that ends the deltas a format may repeat the text, wherever the body is cut."""
        told = b"data: t1@5;\n\ndata: t2@5;\n\nevent: text.done\ndata: t1@5;t2@5;\n\n"
        body = told + b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
        edges = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
        check = AnswerCheck(tokens=2, done=b"}", deltas_end=b"event: text.done")
        for start, end in pairwise(edges):
            check.feed(body[start:end], 9)
        assert check.flaw_at_end() is None

    @pytest.mark.parametrize(
        ("body", "flaw"),
        [
            (delta_body([1, 3]), "token 3 where 2 was due"),
            (delta_body([1, 1, 2, 3]), "token 1 where 2 was due"),
            (delta_body([1, 2, 3, 4]), "token 4 after the last, 3"),
            (delta_body([1, 2]), "ended after 2 of 3 tokens"),
            (delta_body([1, 2, 3]).replace(b'"stop"', b'"length"'), "ended without the finish reason stop"),
            (delta_body([1, 2, 3]).replace(b"data: [DONE]\n\n", b""), "ended without data: [DONE]"),
            (delta_body([1, 2, 3]) + b"data: more\n\n", "ended without data: [DONE]"),
            (b"", "ended after 0 of 3 tokens"),
            (b"x" * 70_000, "more than 65536 bytes without a token after token 0"),
        ],
    )
    def test_names_the_flaw(self, body: bytes, flaw: str) -> None:
        """The first thing wrong is named, with its place."""
        assert find_flaw(body, 3) == flaw


class TestUpstream:
    """The upstream's bytes are what an OpenAI-compatible server sends."""

    def test_frames_are_chat_completion_chunks(self) -> None:
        """Each event is JSON of one shape, with one id; role first, usage after the finish, [DONE] last."""
        *events, done = upstream_body(2).decode().strip().split("\n\n")
        chunks = [json.loads(event.removeprefix("data: ")) for event in events]
        assert done == "data: [DONE]"
        assert {(chunk["id"], chunk["object"]) for chunk in chunks} == {("chatcmpl-bench", "chat.completion.chunk")}
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, None, "stop"]
        assert chunks[-1]["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

    def test_paced_tokens_equal_burst_tokens(self) -> None:
        """A paced token, put together from its halves and a stamp, is the token of a burst but for the stamp."""
        heads, tail = wire.token_halves(Script(tokens=12, delay_ms=1))
        assert heads[11] + wire.stamp_digits(0) + tail == wire.token_frame(12, 0)

    def test_phases_are_even(self) -> None:
        """The first tokens of 100 paced answers fall into every millisecond of their 20."""
        assert {int(first_delay_ms(20, turn)) for turn in range(100)} == set(range(20))


class TestFigures:
    """A figure is the middle of its samples, a ratio is taken within a round."""

    def test_percentile_is_the_nearest_rank(self) -> None:
        """The percentile is a value that was seen, the last for 100."""
        ordered = list(range(1, 101))
        assert [percentile(ordered, percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
        assert percentile([7], 99) == 7

    def test_ratio_is_taken_in_its_round(self) -> None:
        """A round in which all was slow doesn't move the ratio."""
        assert spread(ratios([2, 20, 6], [1, 10, 2])) == Spread(median=2, least=2, most=3)

    def test_rounds_must_match(self) -> None:
        """A sample without its floor is an error, not a ratio to another round's."""
        with pytest.raises(ValueError, match="shorter"):
            ratios([1, 2], [1])

    def test_every_peer_goes_first(self) -> None:
        """The order turns by one each round."""
        assert [rotate("abc", turn) for turn in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


class TestLoads:
    """The loads are as large as the measure demands."""

    def test_burst_has_400_000_tokens(self) -> None:
        """A full burst, and nothing less, is what a round puts on a server."""
        loads = {row.name: row for row in list_rows(quick=False)}
        assert loads["burst"].load.tokens >= 400_000  # type: ignore[attr-defined]
        assert Load(model="burst-n1000", streams=16, answers=25).requests == 400

    def test_rows_are_told_apart(self) -> None:
        """No two rows, and no two figures, share a name."""
        rows = list_rows(quick=False)
        figures = [figure.name for row in rows for figure in row.figures]
        assert len({row.name for row in rows}) == len(rows)
        assert len(set(figures)) == len(figures)


def make_results(
    *, quick: bool = False, refused: dict[str, str] | None = None, slow: float = 1.0, rounds: int = 7
) -> Results:
    """A run of one row: three samples, said to be of so many rounds."""
    samples = {"nginx": [{"paced": 10.0}, {"paced": 20.0}, {"paced": 30.0}]}
    samples["tailrace"] = [{"paced": value["paced"] * 2 * slow} for value in samples["nginx"]]
    row = RowResult(name="paced", figures=(FIGURE,), rounds=rounds, samples=samples, refused=refused or {})
    machine = Machine(cpu="Some <CPU>", cores=2, kernel="6.1", python="3.11.7", versions={"nginx": "1.22.1"})
    peers = ("nginx", "tailrace", "direct")
    return Results(started_at="2026-01-02T03:04:05Z", pairs=7, quick=quick, peers=peers, machine=machine, rows=[row])


class TestTable:
    """The table shows what was measured, against its goal, and nothing that was refused."""

    def test_shows_median_ratio_and_goal(self) -> None:
        """A line has each peer's median, the ratio with its range, and whether the goal was met."""
        lines = write_table(make_results()).split("\n")
        assert lines[0].startswith("2026-01-02, 2 cores of Some <CPU>, Linux 6.1, Python 3.11.7, nginx 1.22.1;")
        assert lines[2:5] == [
            "|  | nginx | tailrace | goal |",
            "| --- | --- | --- | --- |",
            "| paced, CPU a token, µs | 20.0 | 40.0 = **2.00 x** (2.00 to 2.00) | ≤ 2.2 x nginx: met |",
        ]

    def test_says_where_there_were_fewer_rounds(self) -> None:
        """A row that took fewer rounds than the run says how many."""
        assert "| paced, CPU a token, µs (3 rounds) |" in write_table(make_results(rounds=3))

    def test_says_that_a_goal_was_missed(self) -> None:
        """A ratio above the goal is called missed."""
        results = make_results(slow=1.2)
        assert judge(results.rows[0], FIGURE) is False
        assert "≤ 2.2 x nginx: **missed**" in write_table(results)

    @pytest.mark.parametrize("peer", ["nginx", "tailrace"])
    def test_prints_no_figure_that_was_refused(self, peer: str) -> None:
        """A peer that was refused has no figure, no ratio and no verdict, only the reason."""
        results = make_results(refused={peer: "token 3 where 2 was due"})
        table = write_table(results)
        assert "40.0" not in table or peer == "nginx"
        assert "**" not in table
        assert "met" not in table
        assert f"- paced, {peer}: token 3 where 2 was due" in table
        assert judge(results.rows[0], FIGURE) is None

    def test_says_what_is_not_to_be_quoted(self) -> None:
        """A quick run says so above its table, a full one doesn't."""
        assert "Not to be quoted" in write_table(make_results(quick=True))
        assert "Not to be quoted" not in write_table(make_results())

    @pytest.mark.parametrize(
        ("value", "text"), [(0.05, "0.05"), (1.234, "1.23"), (16.44, "16.4"), (245.2, "245"), (18550.0, "18,550")]
    )
    def test_writes_three_digits(self, value: float, text: str) -> None:
        """Numbers have the digits that the measure can bear."""
        assert write_number(value) == text


class TestPlot:
    """The plot is well-formed, and has a dot for each ratio."""

    def test_draws_each_ratio(self) -> None:
        """One dot in the picture and one in the legend for the one peer with a ratio, inside the picture."""
        root = ElementTree.fromstring(write_plot(make_results()))
        circles = root.findall("{http://www.w3.org/2000/svg}circle")
        assert [circle.findtext("{http://www.w3.org/2000/svg}title") for circle in circles] == [None, "2.00 x"]
        assert all(0 < float(circle.get("cx", "-1")) < 920 for circle in circles)

    def test_leaves_out_what_was_refused(self) -> None:
        """Nothing is drawn of a peer that was refused."""
        assert "<circle" not in write_plot(make_results(refused={"tailrace": "cut"}))


class TestKeeping:
    """Runs are kept whole, and only those that prove something reach the documentation."""

    def test_results_come_back_equal(self, tmp_path: Path) -> None:
        """What is written is what is read."""
        write_results(tmp_path / "new" / "run.json", make_results())
        assert read_results(tmp_path / "new" / "run.json") == make_results()

    @pytest.mark.parametrize("text", ["", "[]", '{"pairs": 7}'])
    def test_refuses_what_is_no_run(self, tmp_path: Path, text: str) -> None:
        """A file that holds no run is named in the error."""
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ResultsError, match=r"run\.json holds no results"):
            read_results(tmp_path / "run.json")

    def test_publishes_between_the_marks(self, tmp_path: Path) -> None:
        """The documentation's own page takes the table, keeps all else, and is the same when it is done again."""
        page = (ROOT / "docs" / "speed.md").read_text()
        (tmp_path / "speed.md").write_text(page)
        publish(make_results(), tmp_path)
        once = (tmp_path / "speed.md").read_text()
        publish(make_results(), tmp_path)
        assert (tmp_path / "speed.md").read_text() == once
        assert write_table(make_results()) + "\n![" in once
        assert once.split("<!-- bench")[0] == page.split("<!-- bench")[0]
        assert (tmp_path / "speed.svg").read_text().startswith("<svg")

    def test_publishes_no_quick_run(self, tmp_path: Path) -> None:
        """A run that proves nothing stays out of the documentation."""
        with pytest.raises(ResultsError, match="not to be quoted"):
            publish(make_results(quick=True), tmp_path)

    def test_needs_the_marks(self) -> None:
        """A page without the marks is refused instead of being overwritten."""
        with pytest.raises(ResultsError, match="lacks the lines"):
            fill_page("# How fast\n", "table")

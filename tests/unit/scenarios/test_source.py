"""YAML becomes JSON data with line marks, and hostile files are refused before they cost anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aitp_playground.scenarios.findings import Finding, Mark
from aitp_playground.scenarios.nodes import Broken
from aitp_playground.scenarios.source import MAX_BYTES, Document, read_document


def read(tmp_path: Path, text: str | bytes, name: str = "file.yaml") -> Document:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(path, tmp_path)


def refusal(tmp_path: Path, text: str | bytes) -> Finding:
    with pytest.raises(Broken) as caught:
        read(tmp_path, text)
    return caught.value.finding


def test_every_key_and_list_entry_has_its_line(tmp_path: Path) -> None:
    marks = read(tmp_path, "a: 1\nb:\n  - x\n  - c: 2\n").marks
    assert [marks[path].line for path in (("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "c"))] == [1, 2, 3, 4, 4]


def test_a_path_without_a_mark_takes_that_of_its_nearest_ancestor(tmp_path: Path) -> None:
    assert read(tmp_path, "a:\n  b: 1\n").marks[("a", "b", "missing", 3)] == Mark("file.yaml", 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("007", "007"),
        ("1.0.0", "1.0.0"),
        (".inf", ".inf"),
        ("true", True),
        ("~", None),
        ("", None),
        ("-7", -7),
        ("1.5e3", 1500.0),
        ("'8'", "8"),
    ],
)
def test_plain_scalars_become_json_values_and_nothing_else(tmp_path: Path, text: str, value: object) -> None:
    data = read(tmp_path, f"a: {text}\n").data
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_merge_keys_give_way_to_keys_written_out(tmp_path: Path) -> None:
    data = read(tmp_path, "x-base: &base {a: 1, b: 2}\nuse:\n  b: 3\n  <<: *base\n").data
    assert data["use"] == {"a": 1, "b": 3}


def test_duplicate_keys_are_errors_that_name_both_lines(tmp_path: Path) -> None:
    finding = refusal(tmp_path, "a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert (finding.line, finding.field) == (4, "a.b")
    assert "line 2" in finding.message


def test_a_billion_laughs_are_cut_short(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "aliases" in refusal(tmp_path, "\n".join(rows)).message


def test_an_alias_inside_its_own_anchor_is_refused(tmp_path: Path) -> None:
    assert "nested" in refusal(tmp_path, "a: &a [1, *a]\n").message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 50_000], ids=["lists", "maps", "blocks"])
def test_nesting_is_bounded_before_the_native_parser_recurses(tmp_path: Path, text: str) -> None:
    assert "nested deeper" in refusal(tmp_path, text).message


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    assert "larger than" in refusal(tmp_path, b"a: " + b"x" * MAX_BYTES).message


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: [1\nc: 2\n", 3, "not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("a: 1\nb: *nobody\n", 2, "not YAML"),
        ("a: 1\nb: !!python/object/apply:os.system [true]\n", 2, "not supported"),
        ("a: 1\nb: !env HOME\n", 2, "not supported"),
        ("a: 1\n404: x\n", 2, "a key must be text"),
        ("a: 1\n? [x]\n: y\n", 2, "a key must be text"),
        ("a: 1\nb: 99999999999999999999\n", 2, "no JSON value"),
        ("a: 1\nb: 1e999\n", 2, "no JSON value"),
        ("a: 1\nb: " + "9" * 5000 + "\n", 2, "no JSON value"),
        ("a: 1\nb: !!int abc\n", 2, "no JSON value"),
        (b"a: 1\nb: \xff\xfe\n", 2, "not UTF-8"),
        ("a: 1\nb: \x07\n", 2, "not YAML"),
        ("a: 1\nb: {<<: 3}\n", 2, "<< takes"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, line: int, said: str
) -> None:
    finding = refusal(tmp_path, text)
    assert (finding.file, finding.line) == ("file.yaml", line)
    assert said in finding.message


def test_include_takes_the_file_beside_the_including_one_and_keeps_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "part.yaml").write_text("# note\nx: !include b/more.json\n")
    (tmp_path / "a" / "b" / "more.json").write_text(json.dumps({"y": [1, 2]}))
    document = read(tmp_path, "whole: !include part.yaml\n", "a/file.yaml")
    assert document.data == {"whole": {"x": {"y": [1, 2]}}}
    assert document.marks[("whole", "x")] == Mark("a/part.yaml", 2)
    assert document.marks[("whole", "x", "y")] == Mark("a/b/more.json", 1)


def test_include_of_a_text_file_is_its_text(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    assert read(tmp_path, "a: !include words.txt\n").data == {"a": "one\ntwo\n"}


@pytest.mark.parametrize("name", ["../secret.yaml", "/etc/hostname", "link.yaml", "'\\0'", "''"])
def test_include_never_leaves_the_scenarios_directory(tmp_path: Path, name: str) -> None:
    root = tmp_path / "scenarios"
    root.mkdir()
    (tmp_path / "secret.yaml").write_text("password: hunter2\n")
    (root / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    finding = refusal(root, f"a: 1\nb: !include {name}\n".replace("'\\0'", '"\\0"'))
    assert (finding.line, finding.field) == (2, "b")
    assert "leads out" in finding.message


def test_a_scenario_file_that_is_a_link_to_elsewhere_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "scenarios"
    root.mkdir()
    (tmp_path / "secret.yaml").write_text("password: hunter2\n")
    (root / "file.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(Broken, match="leads out"):
        read_document(root / "file.yaml", root)


def test_files_that_include_each_other_are_refused_where_the_circle_closes(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("- 1\n- !include file.yaml\n")
    finding = refusal(tmp_path, "a: !include other.yaml\n")
    assert (finding.file, finding.line) == ("other.yaml", 2)
    assert "includes itself" in finding.message


def test_a_chain_of_includes_is_bounded(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.yaml").write_text(f"!include {number + 1}.yaml\n")
    assert "inside each other" in refusal(tmp_path, "a: !include 0.yaml\n").message


def test_many_includes_of_one_file_share_one_bound(tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text("[" + ", ".join(["x"] * 5000) + "]\n")
    rows = "\n".join(f"a{number}: !include many.yaml" for number in range(10))
    assert "values" in refusal(tmp_path, rows).message


def test_an_include_that_is_not_there_is_still_a_file_to_watch(tmp_path: Path) -> None:
    with pytest.raises(Broken) as caught:
        read(tmp_path, "a: !include later.yaml\n")
    assert caught.value.stamps[tmp_path / "later.yaml"] is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a:\n\tb: 1\n", 2),
        ("a:\n  b: 1\n\tc: 2\n", 3),
        ("a:\r\n  b:\r\n  \tc: 1\r\n", 3),
        ("a:\r  b:\r  \tc: 1\r", 3),
        ("a:\n  - x\n\t- y\n", 3),
        ("- \ta: 1\n  \tb: 2\n", 1),
        ("a: |\n\ttext\n", 2),
    ],
)
def test_a_tab_that_indents_is_told_as_one(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(Broken) as caught:
        read(tmp_path, text)
    assert caught.value.finding.line == line
    assert caught.value.finding.message == "not YAML: a tab cannot indent a line: write blanks in its place"


@pytest.mark.parametrize("text", ["a: @x\t\n", "a: [1\n\nb: \t2\n", "a:\x85b: [\n"])
def test_a_tab_elsewhere_is_not_blamed(tmp_path: Path, text: str) -> None:
    with pytest.raises(Broken, match="not YAML") as caught:
        read(tmp_path, text)
    assert "tab" not in caught.value.finding.message

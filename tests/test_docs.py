"""What the docs say of the code is what the code says."""

import re
from pathlib import Path

from accounts import roles
from instances import invariants
from instances.conditions import CONDITIONS
from instances.states import TRANSITIONS, Status

ROOT = Path(__file__).parent.parent


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    lines += [f"    {source} --> {target}" for target in Status for source in Status if source in TRANSITIONS[target]]
    return "\n".join([*lines, "    deleted --> [*]", "```"])


def test_the_diagram_of_states_is_the_table_of_transitions():
    text = (ROOT / "docs" / "architecture.md").read_text()
    shown = re.search(r"<!-- states -->\n(.*)\n<!-- /states -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1] == diagram(), f"put this between the marks:\n{diagram()}"


def test_the_table_of_roles_is_the_one_that_the_groups_are_made_from():
    text = (ROOT / "docs" / "console.md").read_text()
    shown = re.search(r"<!-- roles -->\n(.*)\n<!-- /roles -->", text, re.DOTALL)
    table = "\n".join(roles.markdown())
    assert shown is not None
    assert shown[1] == table, f"put this between the marks:\n{table}"


def test_every_link_between_the_docs_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_dependency_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text()
    entries = re.findall(r'^    "[a-z][^"]*",(.*)$', text.partition("[tool.")[0], re.MULTILINE)
    assert len(entries) > 20
    assert all(entry.strip().startswith("# ") for entry in entries)


def first_column(page: str, pattern: str) -> set[str]:
    rows = re.findall(r"^\| (`.+?`) \|", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(f"`({pattern})`", row)}


def test_every_alert_and_every_metric_is_documented():
    kinds = {condition.kind for condition in CONDITIONS} | {invariants.KIND}
    assert first_column("operating.md", "[a-z]+_[a-z_]+") >= kinds
    source = (ROOT / "basekv" / "metrics.py").read_text()
    assert first_column("operating.md", "basekv_[a-z_]+") == set(re.findall(r'"(basekv_[a-z_]+)"', source))


def test_the_table_of_error_codes_is_complete():
    api = ROOT / "basekv" / "api"
    raised = "".join((api / name).read_text() for name in ("errors.py", "admission.py"))
    codes = set(re.findall(r'(?:[1-5]\d\d,\s+)"([a-z_]+)"', raised))
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    assert documented == codes

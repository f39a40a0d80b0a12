"""An evaluation as JUnit XML, which CI systems show as tests: every gate and every field is a test case.

The form is the one that most of them read: https://github.com/testmoapp/junitxml.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from llmx.evals.judging import Judged
from llmx.evals.minimums import Checked
from llmx.evals.presenting import headline, percent

__all__ = ["as_junit"]

_NO_XML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]")
"""What XML 1.0 has no way to write (https://www.w3.org/TR/xml/#charsets), or that drives terminals."""


def as_junit(judged: Judged) -> bytes:
    """One suite. A field fails when it is significantly worse than in the baseline, a minimum when it is not reached.

    A field of gold that no prediction has is a skipped test.
    """
    suite = ET.Element("testsuite", name="llmx eval")
    for one in judged.minimums:
        _minimum(suite, one)
    for path in dict.fromkeys([*judged.evaluation.fields, *(one.path for one in judged.regressions)]):
        _field(suite, path, judged)
    for path in judged.evaluation.joined.only_in_gold:
        _say(_case(suite, "llmx.eval.field", path), "skipped", "no prediction has this field")
    about = [*headline(judged.evaluation), *judged.evaluation.remarks]
    _say(suite, "system-out", "\n".join(about), attribute=False)
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        suite.set(name, str(len(list(suite.iter(tag)))))
    suite.set("errors", "0")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _minimum(suite: ET.Element, one: Checked) -> None:
    case = _case(suite, "llmx.eval.minimum", f"{one.minimum.name} >= {one.minimum.least:g}")
    if not one.passed:
        _say(case, "failure", str(one))
    _say(case, "system-out", str(one), attribute=False)


def _field(suite: ET.Element, path: str, judged: Judged) -> None:
    case = _case(suite, "llmx.eval.field", path)
    for one in judged.regressions:
        if one.path == path:
            _say(case, "failure", f"significantly worse than in the baseline (p = {one.p_holm:.2g})")
    if field := judged.evaluation.fields.get(path):
        _say(case, "system-out", f"accuracy {percent(field.accuracy)} of {field.n:,} rows", attribute=False)


def _case(suite: ET.Element, kind: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=kind, name=_NO_XML.sub("�", name), time="0")


def _say(element: ET.Element, tag: str, text: str, *, attribute: bool = True) -> None:
    said = ET.SubElement(element, tag)
    if attribute:
        said.set("message", _NO_XML.sub("�", text))
    else:
        said.text = _NO_XML.sub("�", text)

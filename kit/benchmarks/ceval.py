"""C-Eval: Chinese questions with four options on 52 subjects, 1,346 in the validation split, whose answers are public.

A row of ``val/high_school_geography_val.csv`` in the authors' ``ceval-exam.zip`` (columns ``id``, ``question``, ``A``
to ``D``, ``answer``), and the same as JSONL:

    0,地球绕太阳公转一周大约需要____。,一天,一个月,一个季度,一年,D

    {"subject": "high_school_geography", "question": "地球绕太阳公转一周大约需要____。",
     "A": "一天", "B": "一个月", "C": "一个季度", "D": "一年", "answer": "D"}

Asked in Chinese, after the five examples of the subject (``dev``); a file without any is asked without. The number is
the plain mean over the subjects, as in OpenCompass's summary (``ceval``).

Protocol ``paper`` reads a text as OpenCompass 0.3.3 does (``ceval_gen_5f30c7.py``: ``first_capital_postprocess``, the
first capital letter of any script), protocol ``default`` as :func:`kit.benchmarks._letters.chosen`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks._choice_files import read_choices
from kit.benchmarks._choices import Reader, ask, fair, grade_choices, group
from kit.benchmarks._choices import reader as choice_reader
from kit.benchmarks._letters import first_capital
from kit.measures import Measure
from kit.prompts import Pack
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 1
ASKS = 1
DATASET = "ceval"
PROMPTS = ("ceval", "ceval.example")
SOURCE = "https://github.com/open-compass/opencompass/blob/0.3.3/opencompass/configs/datasets/ceval/ceval_gen_5f30c7.py"
METRICS: Mapping[str, Measure] = {"ceval": Measure(title="C-Eval", kind="mean over groups")}
RUNS_CODE = False
SUBJECTS: Mapping[str, str] = {
    "computer_network": "计算机网络",
    "operating_system": "操作系统",
    "computer_architecture": "计算机组成",
    "college_programming": "大学编程",
    "college_physics": "大学物理",
    "college_chemistry": "大学化学",
    "advanced_mathematics": "高等数学",
    "probability_and_statistics": "概率统计",
    "discrete_mathematics": "离散数学",
    "electrical_engineer": "注册电气工程师",
    "metrology_engineer": "注册计量师",
    "high_school_mathematics": "高中数学",
    "high_school_physics": "高中物理",
    "high_school_chemistry": "高中化学",
    "high_school_biology": "高中生物",
    "middle_school_mathematics": "初中数学",
    "middle_school_biology": "初中生物",
    "middle_school_physics": "初中物理",
    "middle_school_chemistry": "初中化学",
    "veterinary_medicine": "兽医学",
    "college_economics": "大学经济学",
    "business_administration": "工商管理",
    "marxism": "马克思主义基本原理",
    "mao_zedong_thought": "毛泽东思想和中国特色社会主义理论体系概论",
    "education_science": "教育学",
    "teacher_qualification": "教师资格",
    "high_school_politics": "高中政治",
    "high_school_geography": "高中地理",
    "middle_school_politics": "初中政治",
    "middle_school_geography": "初中地理",
    "modern_chinese_history": "近代史纲要",
    "ideological_and_moral_cultivation": "思想道德修养与法律基础",
    "logic": "逻辑学",
    "law": "法学",
    "chinese_language_and_literature": "中国语言文学",
    "art_studies": "艺术学",
    "professional_tour_guide": "导游资格",
    "legal_professional": "法律职业资格",
    "high_school_chinese": "高中语文",
    "high_school_history": "高中历史",
    "middle_school_history": "初中历史",
    "civil_servant": "公务员",
    "sports_science": "体育学",
    "plant_protection": "植物保护",
    "basic_medicine": "基础医学",
    "clinical_medicine": "临床医学",
    "urban_and_rural_planner": "注册城乡规划师",
    "accountant": "注册会计师",
    "fire_engineer": "注册消防工程师",
    "environmental_impact_assessment_engineer": "环境影响评价工程师",
    "tax_accountant": "税务师",
    "physician": "医师资格",
}
"""The 52 subjects as the files name them -> the exam's own name, which stands in the question."""


def read(path: Path) -> list[Problem]:
    """Read the questions of the ``val`` split, and the examples of each subject (:mod:`kit.benchmarks._choice_files`).

    Raises:
        RequestError: not the benchmark's format, or a subject has some examples and fewer than five.
    """
    return read_choices(path, SUBJECTS, "val")


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the chat that asks a problem, in the words of ``pack``."""
    return ask(pack, "ceval", SUBJECTS[group(problem)], problem)


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol.
    """
    del sandbox
    return grade_choices(reader, "ceval", problems, texts, protocol)


def reader(protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by a protocol.

    Raises:
        RequestError: no such protocol.
    """
    return choice_reader("ceval", PROTOCOLS, protocol)


def paper() -> Reader:
    """Return OpenCompass's reading: the first capital letter, which need not be an option."""
    return lambda _, text: first_capital(text)


PROTOCOLS: Mapping[str, Callable[[], Reader]] = {"paper": paper, "default": lambda: fair}

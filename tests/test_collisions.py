"""Label numbers that mean different classes in different data sets."""

import pytest

from fer_cli.data.audit import code_collisions, code_table, collisions_with_cards
from fer_cli.data.cards import load_card


def test_numbers_with_two_meanings_are_named() -> None:
    tables = {
        "fer2013": {0: "angry", 3: "happy", 6: "neutral"},
        "affectnet": {0: "neutral", 3: "surprise", 1: "happy"},
        "expw": {0: "angry", 6: "neutral"},
    }
    found = {collision.number: collision.labels for collision in code_collisions(tables)}
    assert found == {
        0: {"fer2013": "angry", "affectnet": "neutral", "expw": "angry"},
        3: {"fer2013": "happy", "affectnet": "surprise"},
    }
    card = load_card("ck48").model_copy(update={"folders": {"1": "angry", "07": "contempt", "happy": "happy"}})
    assert code_table(card) == {1: "angry", 7: "contempt"}


def test_collisions_of_a_card_leave_out_those_that_agree_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card("ck48")
    tables = {"a": {"0": "angry", "1": "happy"}, "b": {"0": "angry", "1": "sad"}, "c": {"0": "fear", "2": "sad"}}
    monkeypatch.setattr("fer_cli.data.audit.card_names", lambda: list(tables))
    monkeypatch.setattr("fer_cli.data.audit.has_card", tables.__contains__)
    monkeypatch.setattr("fer_cli.data.audit.load_card", lambda name: card.model_copy(update={"folders": tables[name]}))
    found = [(collision.number, collision.labels) for collision in collisions_with_cards("a")]
    assert found == [(0, {"a": "angry", "c": "fear"}), (1, {"a": "happy", "b": "sad"})]
    assert collisions_with_cards("unheard-of") == []

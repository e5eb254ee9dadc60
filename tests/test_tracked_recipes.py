"""The recipes that are kept with the studies: of the arms as they are now, the same effort for each, and no test image."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_cli.config import Known
from fer_cli.places import shipped_folder
from fer_cli.recipes import load_recipe, read_recipe
from fer_cli.study import Choice, load_study

PATHS = sorted((shipped_folder("experiments") / "recipes").glob("*.yaml"))
MOST_PEOPLE = 118
"""People in CK+48, on whose training parts the recipes were searched."""


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_recipe_is_of_the_study_as_it_is(path: Path) -> None:
    """Where this fails, an arm's settings changed since: search again, or remove the recipe."""
    recipe, study = read_recipe(path), load_study(read_recipe(path).study)
    known = Known(people=MOST_PEOPLE)
    found = load_recipe(study.name, study, Choice(recipe.profile, recipe.data, split=recipe.split), lambda _: known)
    assert found == recipe and recipe.name == path.stem
    assert list(recipe.arms) == list(study.arms)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_arm_was_tried_as_often_and_its_own_settings_are_among_them(path: Path) -> None:
    recipe = read_recipe(path)
    assert not recipe.less_tried
    for tuned in recipe.arms.values():
        assert {} in [one.settings for one in tuned.tried]
        assert len({str(one.settings) for one in tuned.tried}) == len(tuned.tried)
        assert all(len(one.scores) == len(recipe.seeds) for one in tuned.tried)


def test_the_studies_of_self_cure_and_attention_were_searched() -> None:
    assert {"scn-cs-ck48-small", "cbam-ck48-small"} <= {path.stem for path in PATHS}

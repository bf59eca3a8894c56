"""Words to configurations, and every refusal with its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest


def refusal(echo, capsys: pytest.CaptureFixture[str], *words: str, command: str = "echo") -> str:
    assert echo(*words, command=command) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    return shown


def test_defaults_need_no_word(echo) -> None:
    assert echo() == 0
    assert echo.configs[0]["encoder"] == {"width": 8}
    assert echo.configs[0]["datasets"]["root"] == "data/small"
    assert "hydra" not in echo.configs[0]


def test_choices_values_and_settings_are_taken(echo) -> None:
    assert echo("encoder=slow", "seed=3", "encoder.depth=5") == 0
    assert echo.configs[0]["encoder"] == {"depth": 5}
    assert echo.configs[0]["seed"] == 3


def test_an_experiment_overrides_choices_and_words_override_it(echo) -> None:
    assert echo("experiment=deep") == 0
    assert echo("experiment=deep", "seed=1", "encoder=quick") == 0
    assert (echo.configs[0]["encoder"], echo.configs[0]["seed"]) == ({"depth": 3}, 7)
    assert (echo.configs[1]["encoder"], echo.configs[1]["seed"]) == ({"width": 8}, 1)


@pytest.mark.parametrize(("word", "value"), [("also={}", {}), ("also=[]", []), ("also=[small]", ["small"])])
def test_a_list_or_nothing_stands_in_place_of_what_an_experiment_says(
    echo, scratch_catalogue: Path, word: str, value: object
) -> None:
    with (scratch_catalogue / "conf" / "experiment" / "deep.yaml").open("a") as file:
        file.write("also: {other: {name: other}}\n")
    assert echo("experiment=deep", word) == 0
    assert echo.configs[0]["also"] == value


def test_several_datasets_are_kept_by_name(echo) -> None:
    assert echo("datasets=[small,large]", "paths.data=here") == 0
    assert echo.configs[0]["datasets"]["name"] == "small"
    assert echo.configs[0]["also"] == {"large": {"name": "large", "subjects": None, "root": "here/large"}}


def test_the_same_dataset_twice_is_refused(echo, capsys) -> None:
    assert "takes each dataset once, got [small, small]" in refusal(echo, capsys, "datasets=[small,small]")


@pytest.mark.parametrize("word", ["datasets.subjects=[01,2]", 'datasets.subjects=["01","2"]'])
def test_subject_labels_are_strings(echo, word: str) -> None:
    assert echo(word) == 0
    assert echo.configs[0]["datasets"]["subjects"] == ["01", "2"]


@pytest.mark.parametrize(
    "value",
    ["with space", "a=b", "a,b", "großes-Gerät", "(copy)", "it's", "back\\slash\\", "C:\\x", "[1]", "100%", "{x}"],
)
def test_paths_are_taken_as_they_are(echo, value: str) -> None:
    assert echo(f"paths.data=/{value}") == 0
    assert echo.configs[0]["paths"]["data"] == f"/{value}"


def test_a_path_with_a_tilde_is_in_the_home_folder(echo) -> None:
    assert echo("paths.data=~/data") == 0
    assert echo.configs[0]["paths"]["data"] == str(Path.home() / "data")


def test_a_text_with_other_letters_needs_no_quotes(echo) -> None:
    assert echo("target=Größe (cm)") == 0
    assert echo.configs[0]["target"] == "Größe (cm)"


def test_an_unknown_choice_names_the_closest(echo, capsys) -> None:
    expected = "ConfigError: Unknown encoder 'quik'. Did you mean 'quick'? Allowed: quick, slow.\n"
    assert refusal(echo, capsys, "encoder=quik") == expected


def test_an_unknown_dataset_names_the_closest(echo, capsys) -> None:
    assert "Unknown datasets 'larg'. Did you mean 'large'?" in refusal(echo, capsys, "datasets=larg")
    assert "Unknown datasets 'larg'. Did you mean 'large'?" in refusal(echo, capsys, "datasets=[small,larg]")


def test_a_number_is_no_choice(echo, capsys) -> None:
    assert "Unknown encoder '3'. Allowed: quick, slow." in refusal(echo, capsys, "encoder=3")


def test_an_unknown_word_names_the_closest(echo, capsys) -> None:
    assert "Unknown word 'encodr'. Did you mean 'encoder'?" in refusal(echo, capsys, "encodr=quick")
    assert "Unknown word 'sed'. Did you mean 'seed'?" in refusal(echo, capsys, "sed=1")


def test_an_unknown_setting_is_looked_up_in_the_chosen_option(echo, capsys) -> None:
    shown = refusal(echo, capsys, "encoder=slow", "encoder.deph=1")
    assert "Unknown setting of 'encoder' 'deph'. Did you mean 'depth'? Allowed: depth." in shown


def test_a_choice_of_another_command_is_refused(echo, capsys) -> None:
    shown = refusal(echo, capsys, "datasets=small", "checkpoint=x", "encoder=quick", command="strict")
    assert "'strict' has no choice encoder=. It has: datasets." in shown


def test_a_missing_choice_lists_what_there_is(echo, capsys) -> None:
    shown = refusal(echo, capsys, "checkpoint=x", command="strict")
    assert "'datasets' must be given. Add datasets=eeg_muse_n170. There are: large, small." in shown


def test_a_missing_value_names_the_word_to_add(echo, capsys) -> None:
    shown = refusal(echo, capsys, "datasets=large", "datasets.root=x", command="strict")
    assert shown == "ConfigError: 'checkpoint' must be given. Add checkpoint=runs/train/<run>/checkpoint.\n"


def test_a_value_that_refers_to_nothing_is_refused(echo, capsys) -> None:
    assert "refers to nothing" in refusal(echo, capsys, "target=${nowhere.x}")


@pytest.mark.parametrize("word", ["seed", "datasets.subjects=[01", "=3"])
def test_a_word_that_cannot_be_read_is_refused(echo, capsys, word: str) -> None:
    assert f"Cannot read '{word}'. Write WORD=VALUE" in refusal(echo, capsys, word)


def test_a_users_catalogue_adds_datasets_and_experiments(echo, tmp_path: Path) -> None:
    own = tmp_path / "my catalogue"
    (own / "datasets").mkdir(parents=True)
    (own / "experiment").mkdir()
    (own / "datasets" / "mine.yaml").write_text("name: mine\nroot: ${paths.data}/mine\n")
    (own / "experiment" / "mine_first.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /datasets: mine\nseed: 9\n"
    )
    assert echo(f"catalogue={own}", "experiment=mine_first") == 0
    assert (echo.configs[0]["datasets"]["name"], echo.configs[0]["seed"]) == ("mine", 9)


def test_a_users_entry_may_not_take_the_name_of_the_packages(echo, capsys, tmp_path: Path) -> None:
    (tmp_path / "own" / "datasets").mkdir(parents=True)
    (tmp_path / "own" / "datasets" / "small.yaml").write_text("name: small\n")
    assert "has the name of an entry of the package. Rename" in refusal(echo, capsys, f"catalogue={tmp_path / 'own'}")


def test_a_catalogue_that_is_not_there_is_refused(echo, capsys) -> None:
    assert "catalogue='nowhere' is not a folder." in refusal(echo, capsys, "catalogue=nowhere")


def test_a_broken_yaml_file_is_one_line(echo, capsys, tmp_path: Path) -> None:
    (tmp_path / "own" / "datasets").mkdir(parents=True)
    (tmp_path / "own" / "datasets" / "torn.yaml").write_text("name: [\n")
    shown = refusal(echo, capsys, f"catalogue={tmp_path / 'own'}", "datasets=torn")
    assert "A YAML file cannot be read" in shown

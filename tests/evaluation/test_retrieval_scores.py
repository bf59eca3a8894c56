"""Scores of retrieval that is perfect, at chance, constant or tied, and p-values where there is nothing to decode."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.retrieval import ranks_of_truth
from brain_decode.evaluation.retrieval_null import shown_ranks
from brain_decode.evaluation.retrieval_scores import P_METHOD, score_retrieval

FEW = {"n_permutations": 199}


def retrieval(ranks: np.ndarray, size: int) -> pd.DataFrame:
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "decoder": "nice", "rank": ranks})
    return frame.assign(run="1", fold="official", truth=[f"s{i}" for i in range(len(ranks))], gallery_size=size)


def answered(similarity: np.ndarray, truth: np.ndarray, **columns: object) -> pd.DataFrame:
    """Return a table of answers as a run keeps it, from (n, n_candidates) similarities and (n,) true candidates."""
    ranks, n_ties = ranks_of_truth(similarity, truth)
    names = [f"s{candidate:04d}" for candidate in truth]
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "run": "1", "fold": "official"}, index=range(len(truth)))
    return frame.assign(
        truth=names,
        rank=ranks,
        n_ties=n_ties,
        gallery_size=similarity.shape[1],
        **shown_ranks(similarity, names, truth),
        **columns,
    )


def test_perfect_retrieval_is_one_everywhere_with_the_smallest_p() -> None:
    scores = score_retrieval(answered(np.eye(200), np.arange(200)), **FEW)
    assert set(scores) == {"top1", "top5", "2_way", "4_way", "10_way", "50_way", "100_way"}
    assert scores["top1"] == {
        "value": 1.0,
        "ci95": [pytest.approx(0.025 ** (1 / 200)), 1.0],
        "ci95_about": "these subjects",
        "ci95_new_subjects": [None, None],
        "ci95_reason": "new subjects: 1 subject was scored; a statement about new subjects takes 5",
        "chance": pytest.approx(1 / 200),
        "p_permutation": 1 / 200,
        "p_method": P_METHOD,
        "n_permutations": 199,
        "p_smallest": 1 / 200,
        "n": 200,
    }
    assert scores["10_way"]["chance"] == pytest.approx(0.1)


def test_ranks_spread_evenly_are_exactly_at_chance() -> None:
    for score in score_retrieval(retrieval(np.arange(100), 100), **FEW).values():
        assert score["value"] == pytest.approx(score["chance"])


def test_a_table_without_the_ranks_of_the_others_has_no_p_and_says_why() -> None:
    score = score_retrieval(retrieval(np.arange(100), 100), **FEW)["top1"]
    assert score["p_permutation"] is None and "p_method" not in score
    assert score["p_reason"] == "the answers do not hold the ranks of the other shown stimuli"


def test_fixed_decoders_of_a_cross_validation_get_no_p() -> None:
    frame = answered(np.eye(40), np.arange(40))
    score = score_retrieval(frame, design=Design("concept", 5, 0.25, needs_refit=True), **FEW)["top1"]
    assert score["p_permutation"] is None and score["chance"] == pytest.approx(1 / 40)
    assert score["p_reason"] == "fixed decoders in cross-validation share training data"
    assert "p_reason" not in score_retrieval(frame, n_permutations=0)["top1"]
    one = score_retrieval(frame[:1], **FEW)["top1"]
    assert one["p_permutation"] is None and one["p_reason"] == "one shown stimulus cannot be permuted"


@pytest.mark.parametrize("answer", ["equal", "preferring"])
def test_a_constant_answer_is_exactly_at_chance_among_the_shown_images(answer: str) -> None:
    similarity = np.ones((60, 60)) if answer == "equal" else np.tile(np.arange(60.0), (60, 1))
    scores = score_retrieval(answered(similarity, np.arange(60)), **FEW)
    expected = {"top1": 1 / 60, "top5": 5 / 60, **{f"{k}_way": 1 / k for k in (2, 4, 10, 50)}}
    for name, score in scores.items():
        assert score["value"] == pytest.approx(expected[name])
        assert score["chance"] == pytest.approx(expected[name])
        assert score["p_permutation"] == 1.0


def test_a_constant_answer_that_prefers_shown_images_among_all_is_at_its_own_chance() -> None:
    # The shown 40 of 400 images are a special set, and the answer knows no more than that.
    similarity = np.tile(np.r_[np.full(40, 1.0), np.zeros(360)] + 1e-3 * np.arange(400), (40, 1))
    scores = score_retrieval(answered(similarity, np.arange(40)), **FEW)
    assert scores["2_way"]["value"] > 0.9
    for score in scores.values():
        assert score["chance"] == pytest.approx(score["value"]) and score["p_permutation"] == 1.0


def test_a_perfect_decoder_shares_credit_between_two_copies_of_each_picture() -> None:
    similarity = np.tile(np.eye(30), (1, 2))
    scores = score_retrieval(answered(similarity, np.arange(30)), **FEW)
    assert scores["top1"]["value"] == 0.5 and scores["top5"]["value"] == 1.0
    assert scores["2_way"]["value"] == pytest.approx(1 - 0.5 / 59)
    assert scores["top1"]["p_permutation"] == 1 / 200


def test_a_decoder_that_knows_something_is_told_apart_with_repetitions() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(20), 3)
    similarity = rng.normal(size=(60, 20))
    similarity[np.arange(60), truth] += 1.5
    assert score_retrieval(answered(similarity, truth), **FEW)["top1"]["p_permutation"] == 1 / 200


@pytest.mark.parametrize("setting", ["exact_image", "all_images", "constant", "subjects"])
def test_p_holds_its_level_where_there_is_nothing_to_decode(setting: str) -> None:
    n_draws, p_values = 300, []
    rng = np.random.default_rng(7)
    for _ in range(n_draws):
        n_candidates = 20 if setting == "exact_image" else 100
        truth = np.tile(np.arange(20), 3)
        if setting == "constant":
            similarity = np.tile(rng.normal(size=n_candidates), (60, 1))
        elif setting == "subjects":  # everybody's answer to a picture is drawn to the same wrong candidates
            similarity = np.tile(rng.normal(size=(20, n_candidates)), (3, 1)) + rng.normal(size=(60, n_candidates))
        else:
            similarity = rng.normal(size=(60, n_candidates)) + rng.normal(size=n_candidates)
        frame = answered(similarity, truth, subject=np.repeat(["01", "02", "03"], 20))
        scores = score_retrieval(frame, n_permutations=99, seed=int(rng.integers(1 << 30)))
        p_values.append(scores["2_way"]["p_permutation"])
    # 99 % of a binomial with 300 draws at 5 %.
    assert np.mean(np.array(p_values) <= 0.05) <= 25 / n_draws


def test_the_same_seed_gives_the_same_numbers_from_the_file_as_from_memory(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = answered(rng.normal(size=(40, 40)), np.arange(40))
    frame.to_parquet(tmp_path / "predictions.parquet")
    read = pd.read_parquet(tmp_path / "predictions.parquet")
    assert score_retrieval(read, seed=3, **FEW) == score_retrieval(frame, seed=3, **FEW)


def test_ranks_outside_the_gallery_are_refused() -> None:
    with pytest.raises(DataError, match="Ranks lie between 0 and the gallery size 5 - 1; got up to 5"):
        score_retrieval(retrieval(np.array([0, 5]), 5))
    with pytest.raises(DataError, match="A group of ties ends within the gallery of 5; got ranks up to 4"):
        score_retrieval(retrieval(np.array([0, 4]), 5).assign(n_ties=[0, 2]))

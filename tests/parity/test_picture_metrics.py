"""Picture metrics and ranks equal the published evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from brain_decode.evaluation import picture_metrics
from brain_decode.evaluation.retrieval import Gallery, ranks_of_truth, similarities
from brain_decode.stimuli.perceptual.resizing import COMPARED_SIDE, resize

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def vectors(reference_folder: Path) -> dict[str, torch.Tensor]:
    """Pictures, features and the scores of the published code."""
    place = reference_folder / "metrics_visual"
    if not place.is_dir():
        pytest.skip("no parity vectors of metrics_visual")
    return load_file(place / "io.safetensors")


def pictures(vectors: dict[str, torch.Tensor], name: str) -> np.ndarray:
    return vectors[name].permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("name", ["gt", "recon"])
def test_the_resize_equals(vectors, needed, close, name: str):
    pixels, _ = needed(vectors, name, f"{name}_256")
    own = resize(pixels, COMPARED_SIDE)
    close(own[:1], vectors, f"{name}_256", atol=1e-6, rtol=0)


def test_pixcorr_equals(vectors, needed, close):
    needed(vectors, "gt", "recon")
    seen, reconstructed = pictures(vectors, "gt"), pictures(vectors, "recon")
    own = torch.from_numpy(picture_metrics.pixel_correlations(seen, reconstructed))
    close(own, vectors, "pixcorr", atol=1e-6, rtol=0)
    matrix = picture_metrics.pixel_correlation_matrix(seen, reconstructed)
    close(torch.from_numpy(np.diag(matrix).copy()), vectors, "pixcorr", atol=1e-5, rtol=0)


def test_ssim_equals(vectors, needed, close):
    needed(vectors, "gt", "recon")
    grey = [picture_metrics.grey_pictures(pictures(vectors, name)) for name in ("gt", "recon")]
    close(torch.from_numpy(picture_metrics.structural_similarities(*grey)), vectors, "ssim", atol=1e-5, rtol=0)


def test_correlations_distances_and_two_way_identification_equal(vectors, needed, close, same):
    real, predicted = (tensor.numpy() for tensor in needed(vectors, "feat_real", "feat_pred"))
    matrix = picture_metrics.correlation_matrix(real, predicted)
    close(torch.from_numpy(matrix), vectors, "corr_matrix", atol=1e-12, rtol=0)
    distances = picture_metrics.correlation_distances(real, predicted)
    close(torch.from_numpy(distances), vectors, "correlation_distance", atol=1e-12, rtol=0)
    wins = picture_metrics.two_way_wins(matrix)
    same(torch.from_numpy(wins.sum(axis=0).astype(int)), vectors, "two_way_success")
    score = torch.tensor([picture_metrics.two_way_scores(wins).mean()])
    close(score, vectors, "two_way_score", atol=1e-12, rtol=0)


def test_ranks_and_accuracies_equal(vectors, needed, close, same):
    query, candidates = needed(vectors, "retrieval_query", "retrieval_gallery")
    gallery = Gallery(tuple(str(row) for row in range(len(candidates))), candidates.numpy())
    found, n_ties = ranks_of_truth(similarities(query.numpy(), gallery), np.arange(len(query)))
    assert not n_ties.any()
    ranks = torch.from_numpy(found.astype(int))
    same(ranks, vectors, "retrieval_rank")
    for k in (1, 5):
        close((ranks < k).double().mean().reshape(1), vectors, f"retrieval_top{k}", atol=1e-12, rtol=0)

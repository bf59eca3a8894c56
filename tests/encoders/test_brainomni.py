"""BrainOmni on mixed montages and lengths, masked codes, and the authors' quirks as one switch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.encoders.brainomni import BrainOmni, MaskDraws, rotary_table
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.base import Tokens

TOKENIZER = {"window_samples": 64, "n_filters": 4, "ratios": (4, 2, 2), "dim": 16, "n_sources": 3, "n_heads": 2,
             "codebook_dim": 16, "codebook_size": 24, "n_levels": 2}  # fmt: skip


def recording(n_channels: int, n_times: int, seed: int = 0) -> SignalBatch:
    rng = np.random.default_rng(seed)
    sensors = Sensors(
        tuple(f"c{i}" for i in range(n_channels)), ("eeg",) * n_channels, rng.normal(0, 0.06, (n_channels, 12))
    )
    return SignalBatch.from_array(rng.standard_normal((1, n_channels, n_times)), sensors, 256.0)


def encoder(**changes: object) -> BrainOmni:
    torch.manual_seed(0)
    spec = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), 128, 256.0)
    model = BrainOmni(spec, **{"tokenizer": TOKENIZER, "dim": 16, "n_heads": 4, "depth": 3, **changes})
    with torch.no_grad():
        for weight in model.blocks.parameters():
            weight.mul_(5.0 if weight.ndim > 1 else 1.0)
    return model.eval()


def random_tokens(batch: int, steps: int, model: BrainOmni, seed: int = 0) -> Tokens:
    torch.manual_seed(seed)
    codes = torch.randint(24, (batch, 3, steps, 2))
    return Tokens(model.tokenizer.lookup(codes), codes, torch.ones(codes.shape[:3], dtype=torch.bool))


@torch.no_grad()
def test_a_recording_has_the_same_embedding_alone_and_beside_another_montage_and_length():
    model = encoder()
    parts = [recording(5, 400, 1), recording(3, 130, 2)]
    together = model(SignalBatch.concatenate(parts)).pooled
    for row, part in enumerate(parts):
        torch.testing.assert_close(together[row], model(part).pooled[0], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_embeddings_have_one_size_whatever_the_montage_and_tokens_of_unit_length():
    model = encoder()
    for batch in (recording(2, 64), recording(9, 500)):
        found = model(batch)
        assert found.pooled.shape == (1, model.embedding_dim) and model.embedding_dim == 3 * 16
        torch.testing.assert_close(found.sequence.norm(dim=-1), torch.ones(found.sequence.shape[:2]))


@torch.no_grad()
def test_steps_may_be_joined_instead_of_averaged_in_windows_of_one_length():
    model, averaged = encoder(pool="steps"), encoder()
    batch = recording(4, 128)
    joined = model(batch).pooled
    assert joined.shape == (1, model.embedding_dim) and model.embedding_dim == 3 * 16 * 12
    means = joined.view(1, 3, 12, 16).mean(2).flatten(1)
    torch.testing.assert_close(means, averaged(batch).pooled)
    with pytest.raises(SpecMismatch, match="built for windows of 12 steps; these have 32"):
        model(recording(4, 400))
    with pytest.raises(ConfigError, match="Unknown pool 'step'. Did you mean 'steps'"):
        encoder(pool="step")


@torch.no_grad()
def test_evaluation_is_deterministic_and_only_the_official_way_drops_values_in_it():
    tokens = random_tokens(1, 12, encoder())
    for compat, same in ((None, True), ("official", False)):
        model = encoder(dropout=0.5, compat=compat)
        assert torch.equal(model.encode(tokens), model.encode(tokens)) is same


@torch.no_grad()
def test_the_official_way_leaves_out_the_last_block_and_the_sines():
    official, corrected = encoder(dropout=0.0, compat="official"), encoder(dropout=0.0)
    corrected.load_state_dict(official.state_dict())
    tokens = random_tokens(1, 12, official)
    hidden = corrected._projected(tokens.features)
    table = rotary_table(12, 8, torch.device("cpu"), cosine_only=True)
    for block in corrected.blocks[:2]:
        hidden = block(hidden, table, None)
    torch.testing.assert_close(official.encode(tokens), torch.nn.functional.normalize(hidden, dim=-1))
    assert not torch.allclose(official.encode(tokens), corrected.encode(tokens), atol=1e-2)
    assert len(official.layers()) == 2 and len(corrected.layers()) == 3


@torch.no_grad()
def test_beyond_its_cached_positions_the_official_table_is_whole_again():
    official = encoder(dropout=0.0, compat="official")
    tokens = random_tokens(1, 241, official)
    whole = rotary_table(241, 8, torch.device("cpu"))
    hidden = official._projected(tokens.features)
    for block in official._used_blocks():
        hidden = block(hidden, whole, None)
    torch.testing.assert_close(official.encode(tokens), torch.nn.functional.normalize(hidden, dim=-1))


def test_rotary_products_depend_on_the_distance_alone():
    cosine, sine = rotary_table(50, 8, torch.device("cpu"))
    torch.testing.assert_close(cosine.square() + sine.square(), torch.ones(50, 4))
    products = cosine[10] * cosine[7] + sine[10] * sine[7]
    torch.testing.assert_close(products, cosine[3], rtol=0.0, atol=1e-5)


def test_hidden_codes_are_learnt_from_their_neighbours_beyond_the_most_frequent_code():
    model = encoder(dropout=0.0)
    model.set_pretraining(True)
    model.train()
    codes = torch.arange(8).view(8, 1, 1, 1).expand(-1, 3, 12, 2).contiguous()  # one in eight by guessing
    tokens = Tokens(model.tokenizer.lookup(codes), codes, torch.ones(8, 3, 12, dtype=torch.bool))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(140):
        terms = model.pretraining_terms(tokens)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    assert float(terms["accuracy"]) > 0.9
    assert {"accuracy_0", "accuracy_1"} <= terms.keys()


@torch.no_grad()
def test_masking_hides_half_and_shows_another_token_in_one_of_five():
    model = encoder()
    tokens = random_tokens(4, 200, model)
    draws = MaskDraws.draw(tokens.mask)
    hidden = draws.select <= model.mask_ratio
    masked = model._masked(tokens.features, hidden, draws)
    is_mask = (masked == model.mask_token).all(-1)
    assert abs(float(hidden.float().mean()) - 0.5) < 0.05
    assert abs(float(is_mask[hidden].float().mean()) - 0.8) < 0.05
    assert torch.equal(masked[~hidden], tokens.features[~hidden])


@torch.no_grad()
def test_padding_is_neither_predicted_nor_taken_as_another_token():
    model = encoder()
    tokens = random_tokens(2, 30, model)
    mask = tokens.mask.clone()
    mask[1, :, 10:] = False
    draws = MaskDraws.draw(mask)
    assert mask.flatten()[draws.others].all()
    padded = Tokens(tokens.features * mask[..., None], tokens.codes, mask)
    other = Tokens(padded.features + ~mask[..., None], tokens.codes, mask)
    torch.testing.assert_close(
        model.pretraining_terms(padded, draws)["loss"], model.pretraining_terms(other, draws)["loss"]
    )


def test_fewer_levels_than_the_tokenizer_has_can_be_predicted():
    model = encoder(n_levels_predicted=1)
    model.set_pretraining(True)
    assert model.pretraining_terms(random_tokens(1, 10, model)).keys() == {"loss", "accuracy", "accuracy_0"}


def test_training_leaves_the_tokenizer_as_it_is():
    model = encoder().train()
    assert model.training and not model.tokenizer.training
    assert not any(parameter.requires_grad for parameter in model.tokenizer.parameters())


@torch.no_grad()
def test_bfloat16_embeddings_are_within_a_hundredth():
    model = encoder(dropout=0.0)
    tokens = random_tokens(2, 40, model)
    exact = model.encode(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = model.encode(tokens)
    assert float((coarse - exact).norm() / exact.norm()) < 1e-2


@torch.no_grad()
def test_a_copy_and_a_rebuilt_model_give_the_same_embedding():
    model, batch = encoder(), recording(4, 200)
    rebuilt = BrainOmni(model.signal_spec, **model.config)
    rebuilt.load_state_dict(model.state_dict())
    expected = model(batch).pooled
    assert torch.equal(copy.deepcopy(model)(batch).pooled, expected)
    assert torch.equal(rebuilt.eval()(batch).pooled, expected)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_blocks_give_the_same_embedding():
    model = encoder()
    tokens = random_tokens(2, 20, model)
    compiled = torch.compile(model.encode)
    torch.testing.assert_close(compiled(tokens), model.encode(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sizes", "n_parameters"), [({}, 13_475_042), ({"dim": 512, "n_heads": 16}, 37_757_666)])
def test_released_sizes_have_the_published_number_of_parameters(sizes: dict[str, int], n_parameters: int):
    spec = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), 512, 256.0)
    assert sum(parameter.numel() for parameter in BrainOmni(spec, **sizes).parameters()) == n_parameters


def test_options_that_do_not_fit_are_refused():
    for changes, message in (
        ({"n_heads": 3}, "n_heads is even"),
        ({"dim": 20}, "multiple of twice"),
        ({"mask_ratio": 0.0}, "mask_ratio is a share"),
        ({"compat": "oficial"}, "Did you mean 'official'"),
        ({"n_levels_predicted": 3}, "at most the tokenizer's 2 levels, got 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            encoder(**changes)

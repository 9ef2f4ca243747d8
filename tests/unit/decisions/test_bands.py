"""Bands count against themselves, move with the prevalence as Bayes' rule says, and promise nothing unknown."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import beta as beta_distribution

from carina.decisions.band_fitting import choose_fitting_part, fit_bands
from carina.decisions.bands import THRESHOLDS, BandCounts, Bands
from carina.decisions.enough import patients_needed
from carina.decisions.policy import PolicySettings
from carina.errors import ConfigurationError

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")


def perfect(*patients: int, **options: object) -> Bands:
    """Bands of a model without a mistake, on so many patients of each finding."""
    labels = np.repeat(np.arange(len(patients)), patients)
    probabilities = np.full((len(labels), len(patients)), 0.001 / (len(patients) - 1))
    probabilities[np.arange(len(labels)), labels] = 0.999
    fitting = choose_fitting_part(labels)
    settings = {"findings": FINDINGS, "flag_finding": "COVID-19", "chosen_on": "toy data", **options}
    return fit_bands(probabilities, labels, fitting=fitting, **settings)


def bands_with(wrong: int, right: int = 300) -> Bands:
    """Bands with `wrong` of 300 testing patients of COVID-19 and `right` of 300 Normal in the routine band."""
    few = tuple((count,) for count in (wrong, right, 0))
    counts = BandCounts(fitting=few, testing=few)
    return Bands(
        findings=FINDINGS,
        flag_finding="COVID-19",
        thresholds=(0.9,),
        fitting_patients=(300, 300, 300),
        testing_patients=(300, 300, 300),
        routine=counts,
        fast_track=BandCounts(fitting=((0,),) * 3, testing=((0,),) * 3),
        alpha=0.05,
        beta=0.05,
        confidence=0.95,
        chosen_on="toy data",
    )


def wrong_upper(mix: np.ndarray, wrong: np.ndarray, patients: int, level: float) -> float:
    """Where Chernoff's bound for a Poisson mean reaches the level, in units of the patient who weighs most."""
    unit = mix.max() / patients
    count = float(mix @ wrong) / patients / unit
    exponent = lambda mean: mean - count + (count * math.log(count / mean) if count else 0) + math.log(level)  # noqa: E731
    return min(unit * brentq(exponent, max(count, 1e-9), 1000), mix.sum())


def test_the_thresholds_resolve_both_ends() -> None:
    assert THRESHOLDS[0] > 0.5
    assert list(THRESHOLDS) == sorted(THRESHOLDS)
    assert 0.99999 < THRESHOLDS[-1] < 1
    logits = np.log(np.array(THRESHOLDS) / (1 - np.array(THRESHOLDS)))
    np.testing.assert_allclose(np.diff(logits), 0.25, rtol=1e-6)


@pytest.mark.parametrize("prevalence", [0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("wrong", [0, 2, 30])
def test_the_share_is_bayes_rule_on_one_bound_for_all_that_is_wrong(wrong: int, prevalence: float) -> None:
    level = 0.05 / 2
    mix = np.array([prevalence, (1 - prevalence) / 2, (1 - prevalence) / 2])
    false = wrong_upper(mix[[0, 2]], np.array([wrong, 0]), 300, 0.8 * level)
    true = mix[1] * beta_distribution.ppf(0.2 * level, 290, 11)
    kept = false / (false + true) <= 0.05
    bands = bands_with(wrong, 290).thresholds_at(prevalence)
    assert bands.routine == (0.9 if kept else None)
    assert (bands.prevalence, bands.stated) == (prevalence, True)
    assert bands.fast_track is None


def test_a_higher_prevalence_takes_normals_out_of_routine_and_a_lower_one_ends_fast_track() -> None:
    bands = perfect(600, 1500, 300)
    routine = [bands.thresholds_at(p).routine is not None for p in (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)]
    fast = [bands.thresholds_at(p).fast_track is not None for p in (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)]
    assert routine[0]
    assert not routine[-1]
    assert routine == sorted(routine, reverse=True)
    assert not fast[0]
    assert fast[-1]
    assert fast == sorted(fast)


def test_without_a_prevalence_it_is_the_datas() -> None:
    bands = perfect(600, 1500, 300)
    assumed, stated = bands.thresholds_at(), bands.thresholds_at(0.25)
    assert (assumed.prevalence, assumed.stated, stated.stated) == (0.25, False, True)
    assert (assumed.routine, assumed.fast_track) == (stated.routine, stated.fast_track)
    assert (assumed.routine_share, assumed.fast_track_share, assumed.confidence) == (0.02, 0.05, 0.95)
    np.testing.assert_allclose(bands.mix_at(None), [0.25, 0.625, 0.125])
    np.testing.assert_allclose(bands.mix_at(0.4), [0.4, 0.5, 0.1])


def test_a_stated_mix_is_the_population_of_the_promises() -> None:
    drawn = perfect(600, 1500, 300)
    same = perfect(600, 1500, 300, mix={"COVID-19": 0.25, "Normal": 0.625, "Viral Pneumonia": 0.125})
    assert same.thresholds_at().routine == drawn.thresholds_at(0.25).routine
    assert (same.thresholds_at().prevalence, same.thresholds_at().stated) == (0.25, False)
    rarer = perfect(600, 1500, 300, mix={"COVID-19": 0.2, "Normal": 0.6, "Viral Pneumonia": 0.2})
    np.testing.assert_allclose(rarer.mix_at(None), [0.2, 0.6, 0.2])
    np.testing.assert_allclose(rarer.mix_at(0.4), [0.4, 0.45, 0.15])
    assert patients_needed(rarer, "routine") == {}


def test_a_stated_mix_promises_what_a_collection_full_of_one_finding_could_not() -> None:
    # Half of the collection is Viral Pneumonia, a tenth of which looks Normal; a hospital sees little of it.
    labels = np.repeat(np.arange(3), [600, 1500, 2100])
    probabilities = np.full((len(labels), 3), 0.0005)
    called = labels.copy()
    called[2100::10] = 1
    probabilities[np.arange(len(labels)), called] = 0.999
    given = {"findings": FINDINGS, "flag_finding": "COVID-19", "chosen_on": "toy data"}
    fitting = choose_fitting_part(labels)
    drawn = fit_bands(probabilities, labels, fitting=fitting, **given)
    rare = {"COVID-19": 0.2, "Normal": 0.78, "Viral Pneumonia": 0.02}
    stated = fit_bands(probabilities, labels, fitting=fitting, mix=rare, **given)
    assert drawn.thresholds_at().routine is None
    assert stated.thresholds_at().routine is not None


def test_a_mix_is_of_the_findings_and_sums_to_one() -> None:
    with pytest.raises(ConfigurationError, match=r"decisions\.mix names COVID-19, Normal\. It needs each"):
        perfect(600, 1500, 300, mix={"COVID-19": 0.25, "Normal": 0.75})
    with pytest.raises(ValueError, match="mix needs shares between 0 and 1 that sum to 1"):
        PolicySettings(mix={"COVID-19": 0.25, "Normal": 0.5})
    with pytest.raises(ValueError, match="mix needs one share per finding"):
        Bands.model_validate(perfect(60, 150, 30).model_dump() | {"mix": (0.5, 0.5)})


def test_a_perfect_model_has_the_laxest_band_and_a_useless_one_none() -> None:
    assert perfect(600, 1500, 300).thresholds_at().routine == THRESHOLDS[0]
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 800)
    guesses = rng.dirichlet([0.2] * 3, len(labels))
    useless = fit_bands(
        guesses, labels, FINDINGS, "COVID-19", fitting=choose_fitting_part(labels), chosen_on="toy data"
    )
    assert (useless.thresholds_at().routine, useless.thresholds_at(0.5).fast_track) == (None, None)


def test_no_number_promises_nothing_and_no_share_is_refused() -> None:
    bands = perfect(600, 1500, 300)
    unknown = bands.thresholds_at(float("nan"))
    assert (unknown.routine, unknown.fast_track) == (None, None)
    for prevalence in (-0.1, 1.1, float("inf")):
        with pytest.raises(ConfigurationError, match=r"The prevalence is .*Give a share between 0 and 1"):
            bands.thresholds_at(prevalence)


@pytest.mark.parametrize("patients", [(0, 1500, 300), (600, 0, 300), (600, 1500, 0), (1, 1, 1), (0, 0, 0)])
def test_of_what_was_never_tested_nothing_is_promised(patients: tuple[int, int, int]) -> None:
    for prevalence in (None, 0.0, 0.1, 0.5):
        bands = perfect(*patients).thresholds_at(prevalence)
        assert (bands.routine, bands.fast_track) == (None, None)


def test_a_model_without_normal_has_no_routine_band() -> None:
    bands = perfect(500, 500, findings=("Abscess", "Tuberculosis"), flag_finding="Tuberculosis")
    assert bands.routine is None
    assert bands.thresholds_at().routine is None
    assert bands.thresholds_at().fast_track is not None


@pytest.mark.parametrize("flag", ["Normal", "Abscess"])
def test_normal_and_unknown_findings_cannot_be_fast_tracked(flag: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Name one that is not Normal, of: COVID-19, Normal"):
        perfect(5, 5, 5, flag_finding=flag)


def test_the_band_begins_beyond_the_reach_of_another_rule() -> None:
    bands = perfect(600, 1500, 300)
    for above in (0.7, 0.95):
        routine = bands.thresholds_at(routine_above=above).routine
        assert routine == min(t for t in THRESHOLDS if t > above)
    assert bands.thresholds_at(routine_above=1.0).routine is None


def test_of_a_patients_images_the_one_against_the_band_counts() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    groups = np.array([7, 7, 8, 9, 9, 10])
    normal = np.array([0.1, 0.9, 0.2, 0.6, 0.95, 0.97])
    covid = np.array([0.9, 0.1, 0.8, 0.4, 0.05, 0.03])
    bands = fit_bands(
        np.stack([covid, normal], axis=1),
        labels,
        ("COVID-19", "Normal"),
        "COVID-19",
        fitting=np.zeros(6, bool),
        chosen_on="toy data",
        groups=groups,
    )
    assert bands.testing_patients == (2, 2)
    assert bands.fitting_patients == (0, 0)
    at = int(np.searchsorted(THRESHOLDS, 0.7))
    assert bands.routine is not None
    # Patient 7's second image would be called Normal; of patient 9 the first would not.
    assert [row[at] for row in bands.routine.testing] == [1, 1]
    assert [row[at] for row in bands.fast_track.testing] == [1, 0]


def test_the_parts_hold_a_third_and_two_thirds_of_each_finding_and_no_patient_twice() -> None:
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 400, 1000))
    labels = rng.choice(3, 400, p=[0.2, 0.75, 0.05])[groups]
    labels[0] = 2 - labels[0]
    fitting = choose_fitting_part(labels, groups)
    assert not set(groups[fitting]) & set(groups[~fitting])
    for finding in range(3):
        of_finding = labels == finding
        assert len(np.unique(groups[fitting & of_finding])) == pytest.approx(
            len(np.unique(groups[of_finding])) / 3, abs=2
        )
    np.testing.assert_array_equal(fitting, choose_fitting_part(labels, groups))
    # One image of a finding orders; two are one each.
    assert choose_fitting_part(np.array([0, 1, 1])).tolist().count(True) == 2
    assert choose_fitting_part(np.zeros(0, int)).shape == (0,)


def test_it_survives_json_and_refuses_what_was_altered() -> None:
    bands = perfect(60, 150, 30)
    text = bands.model_dump_json()
    assert Bands.model_validate_json(text) == bands
    assert Bands.model_validate_json(text).thresholds_at(0.3) == bands.thresholds_at(0.3)
    for name, value, message in (
        ("thresholds", list(reversed(bands.thresholds)), "thresholds must rise"),
        ("testing_patients", [1, 1, 1], "more patients beyond a threshold than it has"),
        ("testing_patients", [40, 100], "counts need one row per finding"),
        ("flag_finding", "Normal", "flag_finding is 'Normal'"),
        ("alpha", 0, "greater than 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Bands.model_validate_json(json.dumps({**json.loads(text), name: value}))


@pytest.mark.parametrize("patients", [(20, 60, 10), (0, 60, 10), (300, 1, 90), (25, 60, 30)])
@pytest.mark.parametrize("prevalence", [0.3, 0.05])
@pytest.mark.parametrize("band", ["routine", "fast-track"])
def test_with_what_was_needed_a_perfect_model_has_the_band(
    patients: tuple[int, int, int], prevalence: float, band: str
) -> None:
    bands = perfect(*patients)
    needed = patients_needed(bands, band, prevalence)
    assert needed
    enough = [have + needed.get(finding, 0) for have, finding in zip(patients, FINDINGS, strict=True)]
    # The mix of the others is held as it was.
    mix = bands.mix_at(prevalence)
    assert _possible(perfect(*enough), band, mix)
    # With a tenth less of what is added, it is not.
    less = [have + int(0.9 * needed.get(finding, 0)) - 1 for have, finding in zip(patients, FINDINGS, strict=True)]
    assert not _possible(perfect(*np.maximum(less, 1)), band, mix)


def _possible(bands: Bands, band: str, mix: np.ndarray) -> bool:
    # Two starts share what may go wrong; four fifths of it go to the wrong findings together.
    level, right = 0.05 / 2, 1 if band == "routine" else 0
    patients = np.array(bands.testing_patients)
    heaviest = max(mix[k] / patients[k] for k in range(3) if k != right)
    wrong = min(-math.log(0.8 * level) * heaviest, 1 - mix[right])
    own = mix[right] * beta_distribution.ppf(0.2 * level, patients[right], 1)
    return bool(wrong / (wrong + own) <= (bands.alpha if band == "routine" else bands.beta))


@pytest.mark.parametrize(("band", "right", "enough"), [("routine", 1, 183), ("fast-track", 0, 72)])
def test_with_the_datas_own_mix_one_bound_over_all_that_lie_beyond_decides(band: str, right: int, enough: int) -> None:
    # The least n with 0.025 ** (1 / n) >= 1 - promise; two thirds of the patients test.
    def has_band(tested: int) -> bool:
        patients = [600, 600, 600]
        patients[right] = tested + math.ceil(tested / 2)
        bands = perfect(*patients)
        assert bands.testing_patients[right] == tested
        thresholds = bands.thresholds_at()
        return (thresholds.routine if band == "routine" else thresholds.fast_track) is not None

    assert has_band(enough)
    assert not has_band(enough - 1)
    few = [600, 600, 600]
    few[right] = 30
    needed = patients_needed(perfect(*few), "routine" if band == "routine" else "fast-track")
    assert needed is not None
    assert list(needed) == [FINDINGS[right]]
    assert enough <= 20 + needed[FINDINGS[right]] / 1.5 <= 1.05 * enough


def test_enough_is_enough_and_some_mixes_never_have() -> None:
    bands = perfect(600, 1500, 300)
    assert patients_needed(bands, "routine") == {}
    assert patients_needed(bands, "fast-track") == {}
    assert patients_needed(bands, "fast-track", 0.0) is None
    assert patients_needed(bands, "routine", 1.0) is None
    assert patients_needed(bands, "routine", float("nan")) is None
    without = perfect(50, 50, findings=("Abscess", "Tuberculosis"), flag_finding="Abscess")
    assert patients_needed(without, "routine") is None

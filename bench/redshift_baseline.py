"""Gradient boosting beside the model: redshifts of the same galaxies from the same photometry.

    aion evaluate configs/pretrain/tiny.toml --output target/evaluate
    python bench/redshift_baseline.py target/evaluate

Reads redshift-table.json (galaxies trained on and held out) and report.json (the model's redshifts of those
held out), fits scikit-learn's HistGradientBoostingRegressor to the former, a mean and quantiles for
each set of inputs, and prints both sides' statistics as a table; --json keeps them. The model's are computed
anew here, and have to be those of the report: exit code 1 if they are not. A second table says what tokens lose: redshifts
learned from fluxes in apertures of images as they are, and of the same images as their tokens give them back.
"""

import argparse
import itertools
import json
import pathlib
import sys

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

OUTLIER = 0.15
LEVELS = np.array([0.50, 0.68, 0.90, 0.95])
# The ends of the central intervals, and some more to interpolate between.
QUANTILES = np.array([0.025, 0.05, 0.1, 0.16, 0.25, 0.35, 0.5, 0.65, 0.75, 0.84, 0.9, 0.95, 0.975])
SETTINGS = {"learning_rate": 0.05, "max_iter": 200, "max_leaf_nodes": 15, "random_state": 0}
HEADS = ["galaxies", "inputs", "method", "objects", "R²", "bias", "σ_NMAD", "outliers"]
HEADS += [f"{level:.0%}" for level in LEVELS]


def quality(z, mean, median, pit):
    """The statistics that `aion evaluate` has, by the same definitions."""
    residual = (median - z) / (1 + z)
    bias = np.median(residual)
    variance = np.sum((z - z.mean()) ** 2)
    return {
        "objects": len(z),
        "r2": 1 - np.sum((z - mean) ** 2) / variance if variance > 0 else None,
        "bias": bias,
        "sigma_nmad": 1.4826 * np.median(np.abs(residual - bias)),
        "outliers": np.mean(np.abs(residual) > OUTLIER),
        "coverage": [np.mean(np.abs(pit - 0.5) <= level / 2) for level in LEVELS],
        "pit": (np.histogram(pit, bins=10, range=(0, 1))[0] / len(z)).tolist(),
    }


def features(table, rows, with_image):
    """Numbers of the catalogue, fluxes as asinh magnitudes, and colours; the same of apertures."""
    photometry = np.array([row["photometry"] for row in rows], dtype=float)
    is_flux = np.array([key.startswith("tok_flux") for key in table["photometry"]])
    is_magnitude = np.array([key.startswith("tok_mag") for key in table["photometry"]])
    photometry[:, is_flux] = -np.arcsinh(photometry[:, is_flux])
    colours = np.diff(photometry[:, is_flux | is_magnitude], axis=1)
    columns = [photometry, colours]
    if with_image:
        columns.append(of_images(table, rows, "apertures"))
    return np.concatenate(columns, axis=1)


def of_images(table, rows, which):
    """Fluxes in apertures as asinh magnitudes, and colours."""
    apertures = -np.arcsinh(np.array([row[which] for row in rows], dtype=float))
    radii = len({name.split()[1] for name in table["apertures"]})
    return np.concatenate([apertures, apertures[:, radii:] - apertures[:, :-radii]], axis=1)


def has_image(row):
    return any(flux is not None for flux in row["restored"])


def tokens_against_pixels(table, simulated):
    """Redshifts learned from images alone, as they are and as their tokens give them back; none where there are none."""
    is_used = lambda row: has_image(row) and row["simulated"] == simulated
    train, test = ([row for row in rows if is_used(row)] for rows in (table["train"], table["test"]))
    if not train or not test:
        return {}
    z = np.array([row["z"] for row in test])
    truth, times = [row["z"] for row in train], [row["times"] for row in train]
    found = {}
    for image, which in (("pixels", "apertures"), ("tokens", "restored")):
        fitted = HistGradientBoostingRegressor(**SETTINGS).fit(of_images(table, train, which), truth, times)
        mean = fitted.predict(of_images(table, test, which))
        found[image] = quality(z, mean, mean, np.full(len(z), np.nan)) | {"trained": len(train)}
    return found


def boosted(table, rows, with_image):
    """Mean, median and PIT of some held-out galaxies, learned from all galaxies trained on."""
    train = table["train"]
    z = np.array([row["z"] for row in train])
    weights = np.array([row["times"] for row in train], dtype=float)
    inputs, asked = features(table, train, with_image), features(table, rows, with_image)

    def fitted(**loss):
        return HistGradientBoostingRegressor(**loss, **SETTINGS).fit(inputs, z, weights).predict(asked)

    mean = fitted(loss="squared_error")
    quantiles = np.sort([fitted(loss="quantile", quantile=level) for level in QUANTILES], axis=0)
    truth = np.array([row["z"] for row in rows])
    pairs = zip(truth, quantiles.T)
    pit = np.array([np.interp(z, levels, QUANTILES, left=0, right=1) for z, levels in pairs])
    return mean, quantiles[QUANTILES == 0.5][0], pit


def agree(found, reported):
    """Whether the model's statistics are those of the report."""
    flat = lambda side: np.concatenate([np.atleast_1d(side[key]).astype(float) for key in sorted(found)])
    return np.allclose(flat(found), flat(reported), atol=1e-9, equal_nan=True)


def line(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def row_of(report, method, found):
    cells = [galaxies(report["simulated"], report["survey"]), report["inputs"], method, *of_medians(found)]
    return line(cells + [f"{share:.2f}" for share in found["coverage"]])


def galaxies(simulated, survey):
    return f"{'simulated' if simulated else 'real'} {survey}"


def of_medians(found):
    """The statistics that need no distribution."""
    r2 = "–" if found["r2"] is None else f"{found['r2']:.3f}"
    return [found["objects"], r2, f"{found['bias']:+.4f}", f"{found['sigma_nmad']:.4f}", f"{found['outliers']:.3f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="what aion evaluate wrote")
    parser.add_argument("--json", type=pathlib.Path, help="keep the statistics")
    arguments = parser.parse_args()
    tables = json.loads((arguments.folder / "redshift-table.json").read_text())
    tables = {table["survey"]: table for table in tables}
    reports = json.loads((arguments.folder / "report.json").read_text())["redshifts"]
    kept, wrong = [], []
    print(line(HEADS) + "\n" + "|" + "---|" * len(HEADS))
    for report in reports:
        table, with_image = tables[report["survey"]], report["inputs"].endswith("image")
        rows = [row for row in table["test"] if row["simulated"] == report["simulated"]]
        if with_image:
            rows = [row for row in rows if has_image(row)]
        z = np.array([row["z"] for row in rows])
        model = {key: np.array([found[key] for found in report["estimates"]]) for key in report["estimates"][0]}
        if not np.array_equal(z, model["z"]):
            sys.exit(f"{arguments.folder}: the table's galaxies are not the report's")
        found = quality(**{key: model[key] for key in ("z", "mean", "median", "pit")})
        if not agree(found, report["quality"]):
            wrong.append(report["survey"])
        boost = quality(z, *boosted(table, rows, with_image))
        print(row_of(report, "aion", found), row_of(report, "boosting", boost), sep="\n", flush=True)
        kept.append({key: report[key] for key in ("survey", "simulated", "inputs")} | {"boosting": boost})
    trained = [f"{len(table['train'])} of {name}" for name, table in tables.items()]
    print("\nBoosting learned from " + ", ".join(trained) + ".")
    print("\nLearned from images alone, as they are and as their tokens give them back:\n")
    print(line(["galaxies", "image", "trained on", *HEADS[3:8]]) + "\n" + "|" + "---|" * 8)
    for table, simulated in itertools.product(tables.values(), (True, False)):
        for image, found in tokens_against_pixels(table, simulated).items():
            print(line([galaxies(simulated, table["survey"]), image, found["trained"], *of_medians(found)]))
            shown = ("trained", "objects", "r2", "bias", "sigma_nmad", "outliers")
            kept.append({"survey": table["survey"], "simulated": simulated, "image": image} | {key: found[key] for key in shown})
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    if wrong:
        sys.exit(f"the report's statistics are not those computed here: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

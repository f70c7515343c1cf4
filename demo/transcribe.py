"""Writes real.csv: published figures of a few objects that training holds out.

    python demo/transcribe.py SAMPLES > demo/real.csv

SAMPLES is a folder with the catalogues named in README.md (numpy and astropy are needed). Taken are
objects that training holds out (the rule is `aion_train::data::is_held_out`) and that are complete,
evenly spaced in each catalogue's own order; nothing is chosen by hand.
"""

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

LEGACY = ["EBV", "FLUX_G", "FLUX_R", "FLUX_Z", "FLUX_W1", "FLUX_W2", "FLUX_W3", "FLUX_W4",
          "SHAPE_R", "SHAPE_E1", "SHAPE_E2"]
HSC = [band + "_cmodel_mag" for band in "grizy"]
GAIA = ["phot_g_mean_flux", "phot_bp_mean_flux", "phot_rp_mean_flux", "parallax"]
XP = ["bp_coefficients", "rp_coefficients"]
COLUMNS = ["object_id", "class", "ra", "dec", "Z", *LEGACY, *HSC, *GAIA, *XP, "source"]


def is_held_out(identifier):
    hashed = 0xCBF29CE484222325
    for byte in identifier.encode():
        hashed = ((hashed ^ byte) * 0x100000001B3) % 2**64
    return hashed % 10 < 2


def text(value):
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        return '"[' + ", ".join(format(float(x), ".7g") for x in value) + ']"'
    return format(float(value), ".7g" if isinstance(value, np.float32) else ".10g")


def write(row):
    print(",".join(text(row[name]) if name in row else "" for name in COLUMNS))


def table(path):
    return fits.getdata(path, 1)


def spaced(rows, count):
    rows = list(rows)
    step = max(len(rows) / count, 1)
    return [rows[int(place * step)] for place in range(min(count, len(rows)))]


def legacy_with_shapes(samples):
    """Galaxies of Tractor catalogues. DR8 gives a shape for each profile: the one of its type."""
    for path in sorted(samples.glob("catalogs/ls_sweep-3*.fits")) + sorted(
        samples.glob("catalogs/ls_tractor-3*.fits")
    ):
        for source in table(path):
            kind = source["TYPE"].strip()
            identifier = f"{source['RELEASE']}-{source['BRICKID']}-{source['OBJID']}"
            if kind == "PSF" or not is_held_out(identifier):
                continue
            profile = "SHAPEDEV" if kind == "DEV" else "SHAPEEXP"
            row = {name: source[name] for name in LEGACY if not name.startswith("SHAPE")}
            row |= {f"SHAPE_{part}": source[f"{profile}_{part}"] for part in ["R", "E1", "E2"]}
            name = path.stem.split("_")[1]
            yield row | {
                "object_id": identifier, "class": "GALAXY", "ra": source["RA"], "dec": source["DEC"],
                "source": f"Legacy Surveys DR8 {name}",
            }


def legacy_fluxes(samples):
    """Bright galaxies of the DR8 table, which gives g, r, z fluxes."""
    for source in table(samples / "catalogs/ls_dr8_south_galaxies.fits"):
        identifier = f"{source['BRICKID']}-{source['OBJID']}"
        observed = all(source[f"NOBS_{band}"] > 0 for band in "GRZ")
        clean = source["TYPE"].strip() != "PSF" and source["MASKBITS"] == 0
        if clean and observed and source["FLUX_Z"] > 4 and is_held_out(identifier):
            yield {name: source[name] for name in LEGACY[1:4]} | {
                "object_id": identifier, "class": "GALAXY", "ra": source["RA"], "dec": source["DEC"],
                "source": f"Legacy Surveys DR8 south brick {source['BRICKNAME']}",
            }


def hsc(samples):
    """Massive galaxies of HSC S16A Wide with a spectroscopic redshift, in its order."""
    sources = table(samples / "catalogs/hsc_s16a_massive_galaxies.fits")
    for source in sources[np.argsort(sources["z_spec"])]:
        identifier = str(source["object_id"])
        magnitudes = {f"{band}_cmodel_mag": source[f"{band}cmodel_mag"] for band in "grizy"}
        complete = np.isfinite(source["z_spec"]) and all(map(np.isfinite, magnitudes.values()))
        if complete and is_held_out(identifier):
            yield magnitudes | {
                "object_id": identifier, "class": "GALAXY", "ra": source["ra"], "dec": source["dec"],
                "Z": source["z_spec"], "source": "HSC-SSP S16A Wide massive galaxies (z_spec)",
            }


def gaia(samples):
    """Stars of gaia_source with a parallax better than 10 %."""
    for source in table(samples / "gaia/gdr3_sm.fits"):
        identifier = str(source["source_id"])
        figures = {name: source[name] for name in GAIA}
        good = all(map(np.isfinite, figures.values())) and source["parallax_over_error"] > 10
        if good and is_held_out(identifier):
            yield figures | {
                "object_id": identifier, "class": "STAR", "ra": source["ra"], "dec": source["dec"],
                "source": "Gaia DR3 gaia_source",
            }


def gaia_xp(samples):
    """Stars with BP and RP coefficients."""
    stars = np.load(samples / "gaia/gaia_dr3_xp_coefficients.npz")
    for number, identifier in enumerate(map(str, stars["source_id"])):
        if is_held_out(identifier):
            yield {name: stars[name][number] for name in XP} | {
                "object_id": identifier, "class": "STAR",
                "source": "Gaia DR3 xp_continuous_mean_spectrum",
            }


def main():
    samples = Path(sys.argv[1])
    print("# Published figures of objects that the bundled model was not trained on: see README.md.")
    print(",".join(COLUMNS))
    for rows, count in [
        (legacy_with_shapes(samples), 4), (legacy_fluxes(samples), 8), (hsc(samples), 10),
        (gaia(samples), 8), (gaia_xp(samples), 5),
    ]:
        for row in spaced(rows, count):
            write(row)


main()

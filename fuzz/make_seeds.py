"""Small valid files from which fuzzing starts, one folder a target: fuzz/corpus/<target>/.

Run with numpy, astropy, h5py and pyarrow: python fuzz/make_seeds.py
All numbers are ramps; nothing is an observation.
"""

import io
import json
import struct
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

HERE = Path(__file__).parent / "corpus"


def put(target, name, content):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def spectrum():
    pixels = 12
    coadd = Table(
        {
            "flux": np.arange(pixels, dtype="f4"),
            "loglam": (3.6 + 1e-4 * np.arange(pixels)).astype("f4"),
            "ivar": np.ones(pixels, "f4"),
            "and_mask": np.zeros(pixels, "i4"),
        }
    )
    about = Table({"PLATE": [266], "MJD": [51630], "FIBERID": [1], "Z": [0.1], "ZWARNING": [0], "CLASS": ["GALAXY"]})
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(coadd), fits.BinTableHDU(about)])


def cutout():
    image = fits.PrimaryHDU(np.ones((2, 4, 4), "f4"))
    image.header["BANDS"] = "gr"
    ivar = fits.ImageHDU(np.ones((2, 4, 4), "f4"))
    ivar.header["IMAGETYP"] = "INVVAR"
    return fits.HDUList([image, ivar])


def compressed():
    pixels = np.arange(256, dtype="i4").reshape(16, 16)
    image = fits.CompImageHDU(pixels, compression_type="RICE_1")
    image.header["BAND"] = "g"
    return fits.HDUList([fits.PrimaryHDU(), image])


def coefficients():
    values = np.linspace(-1, 1, 55)
    return Table(
        {
            "source_id": [1, 2],
            "ra": [10.0, 11.0],
            "dec": [-5.0, 5.0],
            "parallax": [1.0, 2.0],
            "phot_g_mean_flux": [100.0, 200.0],
            "bp_coefficients": [values, values],
            "rp_coefficients": [values, values],
        }
    )


def hdf5(compression, libver):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=libver) as file:
        file["object_id"] = np.array([b"a", b"b"])
        file["ra"] = [10.0, 11.0]
        file["dec"] = [-5.0, 5.0]
        file["healpix"] = [1, 2]
        options = {"chunks": (1, 16), "compression": compression} if compression else {}
        for name in ["spectrum_flux", "spectrum_ivar", "spectrum_lsf_sigma"]:
            file.create_dataset(name, data=np.ones((2, 16), "f4"), **options)
        file.create_dataset("spectrum_lambda", data=np.tile(np.arange(3600, 3616, dtype="f4"), (2, 1)), **options)
        file.create_dataset("spectrum_mask", data=np.zeros((2, 16), bool), **options)
        file["Z"] = np.array([0.1, 0.2], ">f4")
    return buffer.getvalue()


def safetensors(tensors, metadata):
    header, body = {"__metadata__": metadata}, b""
    types = {"float32": "F32", "float64": "F64", "int64": "I64", "bool": "BOOL"}
    for name, values in tensors.items():
        content = values.tobytes()
        offsets = [len(body), len(body) + len(content)]
        header[name] = {"dtype": types[str(values.dtype)], "shape": list(values.shape), "data_offsets": offsets}
        body += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def main():
    put("fits", "spectrum", saved(spectrum().writeto))
    put("fits", "cutout", saved(cutout().writeto))
    put("fits", "compressed", saved(compressed().writeto))
    put("fits", "table", saved(lambda f: fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(coefficients())]).writeto(f)))

    images = {"images": np.ones((5, 4, 4), "f4"), "filters": np.array(list("grizy"))}
    put("npz", "images", saved(lambda f: np.savez(f, **images)))
    rows = {"object_id": np.array([1, 2]), "FLUX_G": np.array([1.5, 2.5])}
    put("npz", "rows", saved(lambda f: np.savez_compressed(f, **rows)))

    numbers = Table({"object_id": ["a", "b"], "ra": [1.0, 2.0], "dec": [3.0, 4.0], "FLUX_G": [1.5, 2.5]})
    numbers["ra"].unit = "deg"
    for kind in ["csv", "ecsv"]:
        text = io.StringIO()
        numbers.write(text, format=f"ascii.{kind}")
        put("text", kind, text.getvalue().encode())
    put("text", "tuples", b'source_id,bp_coefficients\n1,"(' + b", ".join(b"%d" % n for n in range(55)) + b')"\n')
    for kind in ["tabledata", "binary", "binary2"]:
        put("votable", kind, saved(lambda f: coefficients().write(f, format="votable", tabledata_format=kind)))

    for compression in [None, "gzip", "lzf"]:
        for libver in ["earliest", "latest"]:
            put("hdf5", f"{compression}-{libver}", hdf5(compression, libver))

    flat = pa.table({"object_id": ["a", "b"], "ra": [1.0, 2.0], "dec": [3.0, 4.0], "Z": [0.1, 0.2]})
    put("parquet", "flat", saved(lambda f: pq.write_table(flat, f)))
    spectra = {key: [1.0, 2.0, 3.0] for key in ["flux", "ivar", "lsf_sigma"]}
    spectra |= {"lambda": [4000.0, 4001.0, 4002.0], "mask": [False] * 3}
    nested = pa.table({"object_id": ["a"], "ra": [1.0], "dec": [2.0], "spectrum": [spectra]})
    put("parquet", "nested", saved(lambda f: pq.write_table(nested, f, compression="zstd")))

    observations = {"tok_z/value": np.array([[0.1], [0.2]], "f4"), "ra": np.array([1.0, 2.0])}
    spectrum_ = {name: np.ones((2, 4), "f4") for name in ["flux", "ivar"]}
    spectrum_ |= {"mask": np.zeros((2, 4), bool), "wavelength": np.tile(np.arange(4000, 4004, dtype="f4"), (2, 1))}
    observations |= {f"tok_spectrum_sdss/{name}": values for name, values in spectrum_.items()}
    put("safetensors", "spectra", safetensors(observations, {"object_id": json.dumps(["a", "b"])}))
    tokens = {"tok_z": np.array([[5], [6]], "i8"), "tok_ra": np.array([[7], [8]], "i8")}
    put("tokens", "two", safetensors(tokens, {}))
    columns = {"object_id": ["a", "b"], "tok_z": pa.array([[5], [6]], pa.list_(pa.uint16(), 1))}
    put("tokens_parquet", "two", saved(lambda f: pq.write_table(pa.table(columns), f)))
    put("lzf", "literal", b"\x02abc")
    put("lzf", "copy", b"\x00a\xe0\x10\x00")


if __name__ == "__main__":
    main()

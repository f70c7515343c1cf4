#!/usr/bin/env bash
# Measures the bundled model on objects that it has not seen, and writes what is below the mark in
# docs/aion-tiny.md anew. PYTHON names a Python with scikit-learn; options go to `aion evaluate`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
report=target/evaluate
page=docs/aion-tiny.md
cargo run --release --quiet -- evaluate configs/pretrain/tiny.toml --output "$report" "$@" > /dev/null
"$python" bench/redshift_baseline.py "$report" > "$report/baseline.md"
{
    sed '/^<!-- measured -->$/q' "$page"
    tail -n +2 "$report/report.md"
    printf '\n## Redshifts beside gradient boosting\n\n'
    cat "$report/baseline.md"
} > "$report/page.md"
mv "$report/page.md" "$page"
cp "$report/figures/cross-entropy-simulated.svg" docs/aion-tiny-cross-entropy.svg
cp "$report/figures/redshift-legacy-simulated.svg" docs/aion-tiny-redshift.svg
cp "$report/figures/pit-legacy-simulated.svg" docs/aion-tiny-pit.svg

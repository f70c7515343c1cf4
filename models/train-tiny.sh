#!/usr/bin/env bash
# Trains the bundled model anew: about an hour and three quarters of CPU time. The survey samples are named relative
# to this repository's root (../shared/data); without them, remove the [[data.survey]] sections.
set -euo pipefail
cd "$(dirname "$0")/.."
aion() { cargo run --release --quiet -- "$@"; }
aion train codec configs/codec/tiny-numbers.toml
aion train codec configs/codec/tiny-image.toml
aion train codec configs/codec/tiny-spectrum.toml
aion train model configs/pretrain/tiny.toml
aion train model configs/pretrain/tiny-second.toml

"""Train the stand-in model and write its bundle.

    python -m models.standin.train --footage DIR --out DIR

Reads the training clips alone (01 to 04); seeded: the same machine, pins and footage give the same
bundle. About ten minutes on two cores. Evaluate afterwards with `models.standin.evaluate`.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from models.standin import recipe
from models.standin.bundle import write_bundle
from models.standin.learn import fit, load_blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--footage", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument(
        "--created",
        default=datetime.datetime.now(datetime.UTC).date().isoformat(),
        help="date for the manifest",
    )
    arguments = parser.parse_args()
    train, held = load_blocks(arguments.footage)
    print(
        f"{sum(len(b.pictures) for b in train)} training and"
        f" {sum(len(b.pictures) for b in held)} held-out pictures, seed {recipe.SEED}"
    )
    fitted = fit(train, held, print)
    print(f"kept step {fitted.step}, held-out mean AP {fitted.held_out_mean_ap:.3f}")
    manifest = write_bundle(arguments.out, fitted, train, held, arguments.created)
    print(
        f"wrote {arguments.out}: INT8 against float: largest score difference"
        f" {manifest.quantisation.max_score_difference}, decisions changed"
        f" {manifest.quantisation.decisions_changed:.3%}"
    )


if __name__ == "__main__":
    main()

"""IMPORTERS: data set -> function that scans a source folder, trying the official layout first, then known re-packs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.affectnet import scan_affectnet
from fer_cli.data.importers.ck48 import scan_ck48
from fer_cli.data.importers.ckplus import scan_ckplus
from fer_cli.data.importers.ckplus920 import scan_ckplus920
from fer_cli.data.importers.daisee import scan_daisee
from fer_cli.data.importers.expw import scan_expw
from fer_cli.data.importers.fei import scan_fei
from fer_cli.data.importers.fer2013 import scan_fer2013
from fer_cli.data.importers.ferplus import scan_ferplus
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.imfdb import scan_imfdb
from fer_cli.data.importers.jaffe import scan_jaffe
from fer_cli.data.importers.kdef import scan_kdef
from fer_cli.data.importers.mmi import scan_mmi
from fer_cli.data.importers.olsfed import scan_olsfed
from fer_cli.data.importers.rafdb import scan_rafdb
from fer_cli.data.importers.rafdb_compound import scan_rafdb_compound
from fer_cli.data.importers.sequences import Keep

IMPORTERS: dict[str, Callable[[Path, Card], Scan]] = {
    "affectnet": scan_affectnet,
    "ck48": scan_ck48,
    "ckplus": scan_ckplus,
    "ckplus920": scan_ckplus920,
    "daisee": scan_daisee,
    "expw": scan_expw,
    "fei": scan_fei,
    "fer2013": scan_fer2013,
    "ferplus": scan_ferplus,
    "imfdb": scan_imfdb,
    "jaffe": scan_jaffe,
    "kdef": scan_kdef,
    "mmi": scan_mmi,
    "olsfed": scan_olsfed,
    "rafdb": scan_rafdb,
    "rafdb-compound": scan_rafdb_compound,
}

CLIP_IMPORTERS: dict[str, Callable[[Path, Card, Keep], Scan]] = {
    "ckplus": scan_ckplus,
    "daisee": scan_daisee,
    "mmi": scan_mmi,
}
"""Importers of sets with sequences or videos, which can take other frames of them than for stills."""

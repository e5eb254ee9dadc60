"""What a newcomer has at hand when the README's commands run: small data sets, pictures, videos and tables of their own."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fer_cli.data.build import build_set
from fer_cli.data.manifest import load_set
from fer_cli.places import shipped_folder
from fer_cli.synthetic.build import build_embedded
from tests.conftest import draw_face, draw_set
from tests.films import write_film

EMBEDDED = {
    "synth-basic": {"images": 96, "subjects": 32, "size": 24},
    "synth-learning": {"images": 60, "subjects": 20, "size": 32},
    "synth-lecture": {"images": 7, "subjects": 7, "size": 24},
}
FOLDERS = {"happy": "happy", "angry": "anger", "sad": "sadness"}
"""Class -> how a face of it is drawn."""

RAF = ((1, "surprise"), (4, "happy"), (5, "sadness"), (6, "anger"))
FER2013 = ((0, "anger"), (3, "happy"))
"""A set's numbers -> how a face of it is drawn."""


def furnish(work: Path, home: Path) -> None:
    """Fill the folder that the commands run in, and the home folder with the data root in its usual place."""
    root = home / ".local" / "share" / "fer"
    for name, options in EMBEDDED.items():
        build_embedded(name, root, options)
    draw_set(work / "CK+48", 12)
    write_rafdb(home / "RAF-DB" / "basic")
    pixels = [(code, row, part) for part in ("Training", "PublicTest", "PrivateTest") for code, row in list_pixels()]
    (home / "FER2013").mkdir()
    pd.DataFrame(pixels, columns=["emotion", "pixels", "Usage"]).to_csv(home / "FER2013" / "fer2013.csv", index=False)
    build_set("fer2013", home / "FER2013", root, allow_incomplete=True)
    write_pictures(work, home)
    basic = load_set(root, "synth-basic")
    faces = basic.images[np.arange(3)][:, 0, 0]
    (work / "pictures").mkdir()
    for number, face in enumerate(faces):
        Image.fromarray(face).save(work / "pictures" / f"{number}.png")
    Image.fromarray(faces[0]).resize((240, 240)).save(work / "photo.jpg")
    write_tables(work, sorted(set(basic.manifest["subject"]))[:24])


def write_rafdb(root: Path) -> None:
    """Write faces in the official layout of RAF-DB: six people of two classes, the last two for testing."""
    (root / "Image" / "aligned").mkdir(parents=True)
    rows = []
    for number, (code, folder, person) in enumerate((code, face, person) for person in range(6) for code, face in RAF):
        name = f"{'test' if person > 3 else 'train'}_{number:05d}"
        rows.append(f"{name}.jpg {code}")
        Image.fromarray(draw_face(folder, person, 1)).save(root / "Image" / "aligned" / f"{name}_aligned.jpg")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(rows))


def list_pixels() -> list[tuple[int, str]]:
    """Return rows of a table of pixels: FER2013's code of a class, and a face."""
    return [(code, " ".join(map(str, draw_face(face, n, 1).ravel()))) for n in range(6) for code, face in FER2013]


def write_pictures(work: Path, home: Path) -> None:
    """Write faces in folders by class, in an archive with names that tell, and as short videos."""
    with zipfile.ZipFile(work / "lab.zip", "w") as archive:
        for label, folder in FOLDERS.items():
            for person in range(1, 13):
                path = home / "photos" / label / f"p{person:02d}_1.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                face = draw_face(folder, person, 1)
                Image.fromarray(face).save(path)
                if person > 6:
                    continue
                if label != "angry":
                    archive.write(path, f"p{person:02d}_{1 if label == 'happy' else 2}_.png")
                film = home / "films" / label / f"p{person:02d}_1.avi"
                film.parent.mkdir(parents=True, exist_ok=True)
                write_film(film, [np.repeat(draw_face(folder, person, frame)[..., None], 3, 2) for frame in range(8)])


def write_tables(work: Path, subjects: list[str]) -> None:
    """Write the tables that the README names: pixels, scores of students, and a paper's numbers."""
    codes = [(int(code > 0), pixels) for code, pixels in list_pixels()]
    pd.DataFrame(codes, columns=["label", "pixels"]).to_csv(work / "pixels.csv", index=False)
    random = np.random.default_rng(0)
    people = pd.DataFrame({"subject": subjects, "face": ["low", "high"] * (len(subjects) // 2)})
    people["body"] = ["low", "low", "high", "high"] * (len(subjects) // 4)
    people["pretest"] = random.normal(60, 10, len(subjects)).round(1)
    people["posttest"] = (people["pretest"] + random.normal(5, 5, len(subjects))).round(1)
    people.to_csv(work / "scores.csv", index=False)
    shutil.copy(shipped_folder("experiments") / "papers" / "example.yaml", work / "my-paper.yaml")

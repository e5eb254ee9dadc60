"""``fit_run``: a classifier on fused features, in the place of a network on images (Sun 2024, section 3 and Table 3).

Sun 2024 does not name its classifier; multinomial logistic regression with C = 1 is ours, others are options, of
scikit-learn with its defaults but for the network of one hidden layer. Codebook, scaling and classifier are fitted on the
training part alone, and nothing is chosen, so the validation part is only predicted. The network behind the features
``cnn`` is a run of its own on the same parts.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from threadpoolctl import threadpool_limits

from fer_cli.config import CLASSIFIERS, Compute, RunConfig, load
from fer_cli.data.datamodule import RunData
from fer_cli.learning.deep import Cnn
from fer_cli.learning.handcrafted import describe_features, extract_features
from fer_cli.learning.outcome import describe_data, new_result, write_predictions
from fer_cli.learning.train import load_data, prepare_torch
from fer_cli.results import Cost, Learned, Result, Seconds, Selection
from fer_cli.runs import RunFolder
from fer_cli.seeds import derive_seed


def fit_run(
    config: RunConfig, compute: Compute, folder: RunFolder, start: RunFolder | None = None, network: RunConfig | None = None
) -> Result:
    """Extract, fit, predict; return the result and leave ``predictions.parquet`` in ``folder``.

    ``start``, ``network``: the run whose network gives the features ``cnn``, and its settings.
    """
    began = time.monotonic()
    resolved = prepare_torch(compute)
    data, fingerprint = load_data(config, compute)
    cnn: Cnn | None = None
    if network is not None:
        assert start is not None
        cnn = Cnn.of(network, start, compute)
    features = extract_features(config, compute, data, cnn)
    train = data.split.train
    values = features.values
    with threadpool_limits(compute.threads):
        classifier = new_classifier(config)
        classifier.fit(values[train], data.train.labels.numpy())
        predictions = predict(classifier, values, data)
    metrics = write_predictions(predictions, data, folder)
    nothing = Selection(rule="nothing is chosen", epoch=None)
    learned = Learned(selection=nothing, relabelled=None, health={}, warnings=[])
    cost = Cost(seconds=Seconds(total=time.monotonic() - began))
    described, summary = describe_data(data, fingerprint, 0.0), describe_features(features)
    return new_result(config, folder, described, metrics, learned, cost, resolved, start, features=summary)


def new_classifier(config: RunConfig) -> ClassifierMixin:
    """Return the classifier of a run, not yet fitted; what is random in it depends on the seed alone."""
    known = CLASSIFIERS[config.features.classifier]
    seed = {known.seed: derive_seed(config.seed, "classifier") % 2**32} if known.seed else {}
    return load(known.code)(**known.options, **seed)


def predict(classifier: ClassifierMixin, values: np.ndarray, data: RunData) -> pd.DataFrame:
    """Return one row per validation and test image: part, sample, label, predicted, a probability per class.

    Support vector machines give no probability: 1 stands for what they choose.
    """
    frames = []
    names = np.array(data.classes)
    for part, positions, truth in (
        ("val", data.split.val, data.val.labels.numpy()),
        ("test", data.split.test, data.test.labels.numpy()),
    ):
        codes = np.asarray(classifier.predict(values[positions]), int)
        probabilities = np.zeros((len(positions), len(names)), np.float32)
        if hasattr(classifier, "predict_proba"):
            probabilities[:, classifier.classes_] = classifier.predict_proba(values[positions])
        else:
            probabilities[np.arange(len(codes)), codes] = 1
        frame = pd.DataFrame({"part": part, "sample": data.samples[part], "label": names[truth], "predicted": names[codes]})
        for code, name in enumerate(data.classes):
            frame[f"p_{name}"] = probabilities[:, code]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)

"""``fit_run``: fit a classifier on fused features instead of a network on images (Sun 2024, section 3 and Table 3).

Sun 2024 does not specify the classifier; ours is multinomial logistic regression with C = 1, others are options, with
scikit-learn's defaults except for the MLP. Codebook, scaling and classifier are fitted on the training part only. There is
no model selection, so the validation part is only predicted. The network of ``cnn`` is a separate run on the same split.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from threadpoolctl import threadpool_limits

from fer_cli.config import CLASSIFIERS, Compute, RunConfig, load
from fer_cli.data.datamodule import RunData
from fer_cli.learning.deep import Cnn
from fer_cli.learning.handcrafted import describe_features, extract_features
from fer_cli.learning.outcome import describe_data, new_result, prediction_frame, write_predictions
from fer_cli.learning.train import load_data, prepare_torch
from fer_cli.results import Cost, Learned, Result, Seconds, Selection
from fer_cli.runs import RunFolder
from fer_cli.seeds import derive_seed


def fit_run(
    config: RunConfig, compute: Compute, folder: RunFolder, start: RunFolder | None = None, network: RunConfig | None = None
) -> Result:
    """Extract, fit, predict; ``start``, ``network``: the run whose network extracts ``cnn``, and its settings."""
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
    learned = Learned(selection=Selection(rule="nothing is chosen", epoch=None), relabelled=None, health={}, warnings=[])
    cost = Cost(seconds=Seconds(total=time.monotonic() - began))
    described, summary = describe_data(data, fingerprint, 0.0), describe_features(features)
    if cnn is not None and cnn.choice is not None:
        summary["layout"] = cnn.choice
        resolved = replace(resolved, channels_last=cnn.predictor.layout == torch.channels_last)
    return new_result(config, folder, described, metrics, learned, cost, resolved, start, features=summary)


def new_classifier(config: RunConfig) -> ClassifierMixin:
    """Return the unfitted classifier of a run, seeded by the run's seed."""
    known = CLASSIFIERS[config.features.classifier]
    seed = {known.seed: derive_seed(config.seed, "classifier") % 2**32} if known.seed else {}
    return load(known.code)(**known.options, **seed)


def predict(classifier: ClassifierMixin, values: np.ndarray, data: RunData) -> pd.DataFrame:
    """Return the predictions of validation and test part; support vector machines give the predicted class probability 1."""
    frames = []
    for part, positions, truth in (("val", data.split.val, data.val.labels), ("test", data.split.test, data.test.labels)):
        codes = np.asarray(classifier.predict(values[positions]), int)
        probabilities = np.zeros((len(positions), len(data.classes)), np.float32)
        if hasattr(classifier, "predict_proba"):
            probabilities[:, classifier.classes_] = classifier.predict_proba(values[positions])
        else:
            probabilities[np.arange(len(codes)), codes] = 1
        frames.append(prediction_frame(part, data, truth.numpy(), codes, probabilities))
    return pd.concat(frames, ignore_index=True)

"""Thresholds of the rules.

Focus, difficulty and involvement are those of Aly 2023 (section IV-C); all others are ours, because He 2025 (section 3)
gives its strategies in prose.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fer_cli.config.section import Section


class FocusThresholds(Section):
    """Rule 1: no face for most of a window."""

    window_s: float = Field(10.0, gt=0)
    """Length of the tumbling windows in seconds."""
    missing: float = Field(0.5, ge=0, lt=1)
    """A window counts if a larger share of its frames has no face."""
    least_s: float = Field(5.0, ge=0)
    """Seconds from the start of a last, partial window to its last frame, below which it is dropped."""
    new_session_s: float = Field(600.0, gt=0)
    """A longer gap without events is a break, not a technical problem."""


class DifficultyThresholds(Section):
    """Rule 2: anger or distress many times in a row."""

    in_a_row: int = Field(30, ge=1)
    """Frames with a face; the rule depends on the capture interval."""
    with_disgust: bool = False
    """Whether disgust counts as distress too."""


class InvolvementThresholds(Section):
    """Rule 4: the head is bowed for most of a lesson."""

    bowed: float = Field(0.5, ge=0, lt=1)
    """A student is passive if a larger share of the frames has a bowed head."""
    least_frames: int = Field(10, ge=1)
    """Frames in which the head's position is known."""


class HeadThresholds(Section):
    """A bowed head, measured from five points of the face."""

    bowed_deg: float = Field(-20.0, gt=-90, lt=0)
    """Pitch in degrees below which the head is bowed."""
    baseline_s: float = Field(10.0, gt=0)
    """Seconds from a student's first face whose median pitch is taken for an upright head."""


class PreferenceThresholds(Section):
    """Rule 5: preferred courses and pace."""

    course_frames: int = Field(30, ge=1)
    """Frames with a face that a course needs."""
    pace_frames: int = Field(20, ge=1)
    """Frames with a face that a pace needs."""


class TrendThresholds(Section):
    """Volatility by lesson and the slope of the mean valence over lessons."""

    window_s: float = Field(30.0, gt=0)
    """Length of the tumbling windows in seconds."""
    lessons: int = Field(3, ge=3)
    """Lessons that a slope needs."""
    lesson_frames: int = Field(20, ge=1)
    """Frames with a face that a lesson needs."""
    level: float = Field(0.05, gt=0, lt=1)
    """A trend has a smaller p in Kendall's rank test, which takes five lessons or more."""


class FeedbackThresholds(Section):
    """Strategy 1: confusion or anxiety in the class."""

    window_s: float = Field(30.0, gt=0)
    """Length of the window in seconds, which slides by one frame."""
    share: float = Field(0.5, gt=0, le=1)
    frames: int = Field(10, ge=1)
    cool_down_s: float = Field(60.0, ge=0)
    """Seconds after an alert without another."""


class PersonalThresholds(Section):
    """Strategy 2: fluctuating or stable expressions of a student."""

    volatile: float = Field(0.4, ge=0, le=1)
    """Volatility from which a student gets support."""
    stable: float = Field(0.15, ge=0, le=1)
    """Volatility up to which a focused student gets harder content."""
    focused: float = Field(0.6, ge=0, le=1)


class ActivityThresholds(Section):
    """Strategy 3: enjoyment and boredom by activity."""

    joy: float = Field(0.4, gt=0, le=1)
    bored: float = Field(0.4, gt=0, le=1)
    frames: int = Field(10, ge=1)


class ContentThresholds(Section):
    """Strategy 4: preferred kind of content and pace."""

    content: Literal["activity", "topic", "course"] = "activity"
    """The field of an event that names the kind of content."""
    frames: int = Field(20, ge=1)


class Thresholds(Section):
    """The thresholds of all rules."""

    interval_s: float = Field(1.0, gt=0)
    """Seconds between two frames of a student, where events do not carry it (Aly 2023: a preset interval, no value)."""
    focus: FocusThresholds = FocusThresholds()
    difficulty: DifficultyThresholds = DifficultyThresholds()
    involvement: InvolvementThresholds = InvolvementThresholds()
    head: HeadThresholds = HeadThresholds()
    preference: PreferenceThresholds = PreferenceThresholds()
    trend: TrendThresholds = TrendThresholds()
    feedback: FeedbackThresholds = FeedbackThresholds()
    personal: PersonalThresholds = PersonalThresholds()
    activity: ActivityThresholds = ActivityThresholds()
    content: ContentThresholds = ContentThresholds()

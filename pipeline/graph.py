"""The way of one upload, from the record that was read to the records that are written."""

from __future__ import annotations

from functools import partial

import apache_beam as beam

from pipeline import stages
from pipeline.equipment import OpenEquipment
from pipeline.log import Record
from pipeline.sink import Outgoing
from pipeline.stages import Publish, Stage
from pipeline.work import Assessed, Heard, Matched, Parsed, Printed, Unheard, Work


def moderation_graph(
    records: beam.PCollection[Record], *, equipment: OpenEquipment, topic_prefix: str = ""
) -> beam.PCollection[Outgoing]:
    """Records of `uploads` in; records for `verdicts`, `flags`, `attributions` and `uploads.dlq` out.

    Every record that goes in comes out as exactly one verdict or dead letter.

    A straight line on purpose. On the local runner an offset is committed when the *fused stage that read it*
    is done, and a Flatten or a GroupByKey ends that stage: with side branches that meet again, offsets would
    be committed before the outputs exist. So whatever is already decided (bad audio, a dead letter) rides
    along and is handed on untouched by the stages that have nothing to do with it.
    """
    stage = partial(_stage, equipment=equipment)
    return (
        records
        | stage("parse", stages.parse, Record)
        | stage("fetch_decode", stages.fetch_and_decode, Parsed)
        | stage("embed", stages.fingerprint, Heard)
        | stage("match", stages.match, Printed)
        | stage("detect_ai", stages.detect, Matched)
        | stage("judge", stages.judge, Assessed, Unheard)
        | "publish" >> beam.ParDo(Publish(topic_prefix=topic_prefix))
    )


def _stage(name: str, step: stages.Step, *takes: type[Work], equipment: OpenEquipment) -> beam.PTransform:
    return name >> beam.ParDo(Stage(name, takes=takes, step=step, equipment=equipment))

"""Marks of origin: manifests are signed here with keys made for the test, then read, forged, broken."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
import soundfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mutagen.id3 import ID3, TXXX, WOAS
from mutagen.mp4 import MP4, MP4FreeForm

from classifiers.provenance import Claim, read_provenance
from soundalike.errors import AudioNotFound

c2pa = pytest.importorskip("c2pa")

AI_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
HUMAN_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    tone = 0.2 * np.sin(np.arange(44_100) * 0.05)
    soundfile.write(path, np.stack([tone, tone], axis=1), 44_100)
    return path


def encoded(tmp_path: Path, *, container: str, encoder: str, ending: str) -> Path:
    path = tmp_path / f"tone.{ending}"
    tone = (0.2 * np.sin(np.arange(44_100) * 0.05)).astype(np.float32)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(encoder, rate=48_000 if encoder == "libopus" else 44_100)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=stream.rate)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def one(claims: list[Claim], kind: str) -> Claim:
    found = [claim for claim in claims if claim.kind == kind]
    assert len(found) == 1
    return found[0]


class TestTags:
    def test_nothing_there_is_absent_of_both_kinds(self, wav: Path) -> None:
        claims = read_provenance(wav)
        assert [(claim.kind, claim.state) for claim in claims] == [("c2pa", "absent"), ("tag", "absent")]
        assert not any(claim.says_machine_made for claim in claims)

    def test_suno_comment_in_mp3(self, tmp_path: Path) -> None:
        path = encoded(tmp_path, container="mp3", encoder="libmp3lame", ending="mp3")
        tags = ID3()
        tags.add(
            TXXX(encoding=3, desc="comment", text="made with suno; created=2026-03-13T05:04:16Z; id=4262")
        )
        tags.save(path)
        claim = one(read_provenance(path), "tag")
        assert (claim.state, claim.says_machine_made) == ("found", True)
        assert "Suno" in claim.detail
        assert "2026-03-13" in claim.detail

    def test_older_suno_files_hold_a_link(self, tmp_path: Path) -> None:
        path = encoded(tmp_path, container="mp3", encoder="libmp3lame", ending="mp3")
        tags = ID3()
        tags.add(WOAS(url="https://suno.com/song/0b1f"))
        tags.save(path)
        assert one(read_provenance(path), "tag").state == "found"

    @pytest.mark.parametrize(
        ("container", "encoder", "ending"),
        [("ogg", "libopus", "opus"), ("flac", "flac", "flac"), ("ogg", "vorbis", "ogg")],
    )
    def test_vorbis_comments(self, tmp_path: Path, container: str, encoder: str, ending: str) -> None:
        if encoder == "vorbis":
            path = tmp_path / "tone.ogg"
            soundfile.write(path, np.zeros((8000, 2)), 44_100, format="OGG", subtype="VORBIS")
        else:
            path = encoded(tmp_path, container=container, encoder=encoder, ending=ending)
        file = mutagen.File(path)
        file["artist"] = "Udio v1.5"
        file.save()
        assert one(read_provenance(path), "tag").detail.startswith("Udio")

    def test_mp4_freeform_label(self, tmp_path: Path) -> None:
        path = encoded(tmp_path, container="mp4", encoder="aac", ending="m4a")
        file = MP4(path)
        label = json.dumps({"Label": "1", "ContentProducer": "MiniMax", "ProduceID": "06c"}).encode()
        file["----:com.apple.iTunes:AIGC"] = [MP4FreeForm(label)]
        file.save()
        claim = one(read_provenance(path), "tag")
        assert claim.state == "found"
        assert "MiniMax" in claim.detail
        assert "certain" in claim.detail

    @pytest.mark.parametrize("text", ['{"Label": "1"', "yes", '{"Nothing": "known"}', "[]"])
    def test_a_label_that_does_not_hold_is_broken(self, tmp_path: Path, text: str) -> None:
        path = encoded(tmp_path, container="mp3", encoder="libmp3lame", ending="mp3")
        tags = ID3()
        tags.add(TXXX(encoding=3, desc="AIGC", text=text))
        tags.save(path)
        assert one(read_provenance(path), "tag").state == "broken"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("title", "Suno"),
            ("artist", "Suno Chanda"),
            ("comment", "made with love; sunoj helped"),
            ("artist", "The Udio Tapes"),
            ("comment", "no ai was used, made by hand"),
            ("lyrics", "generated with a broken heart"),
            ("title", "Created by Aiden"),
            ("title", "Made by AI"),
            ("lyrics", "I was made by artificial intelligence, says the robot in the chorus"),
        ],
    )
    def test_innocent_words_accuse_nobody(self, tmp_path: Path, key: str, value: str) -> None:
        path = encoded(tmp_path, container="flac", encoder="flac", ending="flac")
        file = mutagen.File(path)
        file[key] = value
        file.save()
        assert one(read_provenance(path), "tag").state == "absent"

    def test_a_detail_is_one_printable_line(self, tmp_path: Path) -> None:
        path = encoded(tmp_path, container="flac", encoder="flac", ending="flac")
        file = mutagen.File(path)
        file["comment"] = "made with suno;\n\x1b[31m" + "x" * 5000
        file.save()
        detail = one(read_provenance(path), "tag").detail
        assert detail.isprintable()
        assert len(detail) < 300


class TestFiles:
    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(AudioNotFound, match=r"nothing\.mp3"):
            read_provenance(tmp_path / "nothing.mp3")

    @pytest.mark.parametrize(
        "data", [b"", b"no audio at all", b"RIFF\xff\xff\xff\xffWAVE", b"ID3\x04\0\0\x7f"]
    )
    def test_rubbish_makes_no_claim(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "rubbish.mp3"
        path.write_bytes(data)
        assert not any(claim.says_machine_made for claim in read_provenance(path))


class TestManifests:
    def test_a_generated_file_says_so(self, wav: Path, tmp_path: Path) -> None:
        claim = one(read_provenance(signed(wav, tmp_path, source=AI_SOURCE)), "c2pa")
        assert claim.state == "found"
        assert claim.says_machine_made
        assert "Test Generator" in claim.detail
        assert "trainedAlgorithmicMedia" in claim.detail
        assert "trust list" in claim.detail

    def test_a_recorded_file_says_that(self, wav: Path, tmp_path: Path) -> None:
        claim = one(read_provenance(signed(wav, tmp_path, source=HUMAN_SOURCE)), "c2pa")
        assert (claim.state, claim.says_machine_made) == ("found", False)

    def test_a_part_made_by_a_model_is_said_to_be_a_part(self, wav: Path, tmp_path: Path) -> None:
        composite = AI_SOURCE.replace("trainedA", "compositeWithTrainedA")
        claim = one(read_provenance(signed(wav, tmp_path, source=composite)), "c2pa")
        assert (claim.state, claim.says_machine_made, claim.partly) == ("found", True, True)
        whole = one(read_provenance(signed(wav, tmp_path, source=AI_SOURCE)), "c2pa")
        assert not whole.partly

    def test_what_it_was_edited_from_is_looked_at(self, wav: Path, tmp_path: Path) -> None:
        parent = signed(wav, tmp_path, source=AI_SOURCE).rename(tmp_path / "parent.wav")
        claim = one(read_provenance(signed(wav, tmp_path, source=HUMAN_SOURCE, parent=parent)), "c2pa")
        assert (claim.state, claim.says_machine_made) == ("found", True)
        assert "edited from a file that a model made" in claim.detail

    def test_changed_audio_breaks_the_manifest(self, wav: Path, tmp_path: Path) -> None:
        path = signed(wav, tmp_path, source=HUMAN_SOURCE)
        data = bytearray(path.read_bytes())
        at = data.index(b"data") + 5000
        data[at : at + 64] = bytes(64)
        path.write_bytes(data)
        claim = one(read_provenance(path), "c2pa")
        assert claim.state == "broken"
        assert "does not hold" in claim.detail

    def test_a_damaged_manifest_is_broken_not_absent(self, wav: Path, tmp_path: Path) -> None:
        path = signed(wav, tmp_path, source=AI_SOURCE)
        data = bytearray(path.read_bytes())
        at = data.index(b"jumb") + 200
        data[at : at + 400] = b"\xff" * 400
        path.write_bytes(data)
        assert one(read_provenance(path), "c2pa").state == "broken"


def signed(wav: Path, tmp_path: Path, *, source: str, parent: Path | None = None) -> Path:
    certificates, key = _keys()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", certificates, key, None))
    action: dict[str, object] = {"action": "c2pa.created", "digitalSourceType": source}
    if parent is not None:
        action = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
    manifest = {
        "claim_generator_info": [{"name": "Test Generator", "version": "1.0"}],
        "title": "tone",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [action]},
            }
        ],
    }
    out = tmp_path / "signed.wav"
    target = io.BytesIO()
    with c2pa.Builder(manifest) as builder, wav.open("rb") as file:
        if parent is not None:
            about = {"title": "parent", "relationship": "parentOf", "instance_id": "parent"}
            with parent.open("rb") as earlier:
                builder.add_ingredient(json.dumps(about), "audio/wav", earlier)
        builder.sign(signer, "audio/wav", file, target)
    out.write_bytes(target.getvalue())
    return out


def _keys() -> tuple[bytes, bytes]:
    """A throwaway authority and a signer under it, as C2PA asks for: end entity, e-mail protection."""

    def name(common: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, common),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Throwaway Tests"),
            ]
        )

    now = dt.datetime.now(dt.UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(subject: str, public: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Test Root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not authority,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=authority,
                    crl_sign=authority,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
            )
        )
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True
            )
        return builder.sign(root_key, hashes.SHA256())

    chain = [
        certificate("Test Signer", key.public_key(), authority=False),
        certificate("Test Root", root_key.public_key(), authority=True),
    ]
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return b"".join(one.public_bytes(pem) for one in chain), private

// Waveform and spectrogram of upload and reference, one above the other. Both lanes show the same stretch of
// music: the reference's window is the upload's, mapped through the chosen match, so that what sounds alike
// stands at the same place. Each picture is cut by the server to exactly the window that is shown.

import WaveSurfer from '/static/vendor/wavesurfer.esm.js';

const WAVE_HEIGHT = 56;
const SPECTRUM_HEIGHT = 96;
const MARGIN = 0.25; // of a span's length, shown on either side of it

export class Lanes extends EventTarget {
  constructor(root, player, data) {
    super();
    this.player = player;
    this.data = data;
    this.duration = data.audio['']?.duration_s ?? data.upload_duration_s ?? 1;
    this.window = [0, this.duration];
    this.zoomed = true;
    this.lanes = [...root.querySelectorAll('.lane')].map((element) => new Lane(element));
    for (const lane of this.lanes) {
      lane.element.addEventListener('click', (event) => this.#clicked(lane, event));
    }
    let resized = 0;
    new ResizeObserver(() => {
      window.clearTimeout(resized);
      resized = window.setTimeout(() => this.draw(), 150);
    }).observe(root);
  }

  show({ zoomed = this.zoomed } = {}) {
    this.zoomed = zoomed;
    const m = this.player.match;
    if (m && zoomed) {
      const margin = Math.max(1, (m.query_end_s - m.query_start_s) * MARGIN);
      // Not beyond where both recordings have ended: that would be empty in both lanes.
      const reference = this.data.audio[m.track_id]?.duration_s ?? 0;
      const first = Math.min(0, reference ? this.player.toUpload(0) : 0);
      const last = Math.max(this.duration, reference ? this.player.toUpload(reference) : 0);
      this.window = [
        Math.max(m.query_start_s - margin, first),
        Math.min(m.query_end_s + margin, Math.max(last, m.query_end_s)),
      ];
    } else {
      this.window = [0, this.duration];
    }
    this.draw();
  }

  draw() {
    const m = this.player.match;
    for (const lane of this.lanes) {
      const upload = lane.kind === 'upload';
      const trackId = upload ? '' : m?.track_id;
      const bounds = upload ? this.window : this.window.map((at) => this.player.toReference(at));
      lane.show(this.data.audio[trackId], bounds, this.#spans(upload, m), m);
    }
    this.move();
  }

  /** The playhead of both lanes. */
  move() {
    const [start, end] = this.window;
    const share = (this.player.position - start) / (end - start);
    for (const lane of this.lanes) lane.playhead(share, (lane.kind === 'upload') === (this.player.side === 'A'));
  }

  #spans(upload, chosen) {
    const spans = this.data.matches
      .map((match, index) => ({ match, index }))
      .filter(({ match }) => upload || match.track_id === chosen?.track_id)
      .map(({ match, index }) => ({
        index,
        kind: 'match',
        chosen: match === chosen,
        start: upload ? match.query_start_s : match.reference_start_s,
        end: upload ? match.query_end_s : match.reference_end_s,
        label: match.title,
      }));
    if (!upload) return spans;
    return spans.concat(this.data.ai_segments.map((segment) => ({
      index: -1, kind: 'ai', chosen: false, start: segment.start_s, end: segment.end_s,
      label: `AI ${Math.round(segment.probability * 100)} %`,
    })));
  }

  #clicked(lane, event) {
    const span = event.target.closest('[data-span]');
    if (span) {
      this.dispatchEvent(new CustomEvent('choose', { detail: Number(span.dataset.span) }));
    }
    const box = lane.pictures.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (share < 0 || share > 1) return;
    this.player.seek(this.window[0] + share * (this.window[1] - this.window[0]));
  }
}

class Lane {
  constructor(element) {
    this.element = element;
    this.kind = element.dataset.lane;
    this.pictures = element.querySelector('.wave');
    this.image = element.querySelector('img');
    this.empty = element.querySelector('.empty');
    this.spans = element.querySelector('.spans');
    this.head = element.querySelector('.playhead');
    this.label = element.querySelector('[data-window]');
    this.drawn = 0;
  }

  async show(sound, [start, end], spans, chosen) {
    this.label.textContent = `${clock(start)} – ${clock(end)}`;
    this.#drawSpans(spans, start, end, chosen);
    const number = (this.drawn += 1);
    this.empty.hidden = Boolean(sound?.pictures);
    this.empty.textContent = sound?.state === 'pending' ? 'The audio is being fetched.' : 'No picture of this recording.';
    if (!sound?.pictures) {
      this.image.hidden = true;
      this.wave?.destroy();
      this.wave = null;
      return;
    }
    const width = Math.max(200, Math.round(this.pictures.clientWidth));
    const window_ = `start_s=${start.toFixed(3)}&end_s=${end.toFixed(3)}`;
    this.image.src = `${sound.links.spectrogram}&${window_}&width=${width}&height=${SPECTRUM_HEIGHT}`;
    this.image.hidden = false;
    const response = await fetch(`${sound.links.peaks}&${window_}&bins=${Math.round(width / 3)}`);
    if (!response.ok || number !== this.drawn) return;
    const levels = (await response.json()).map((level) => level ?? 0);
    if (number !== this.drawn) return;
    this.#drawWave(levels, end - start);
  }

  #drawWave(levels, seconds) {
    if (!this.wave) {
      const style = getComputedStyle(this.element);
      this.wave = WaveSurfer.create({
        container: this.pictures,
        height: WAVE_HEIGHT,
        barWidth: 2,
        barGap: 1,
        cursorWidth: 0,
        interact: false,
        waveColor: style.getPropertyValue('--wave').trim(),
        progressColor: style.getPropertyValue('--wave').trim(),
        cspNonce: document.querySelector('meta[name="style-nonce"]').content,
        peaks: [levels],
        duration: seconds,
      });
      return;
    }
    this.wave.load('', [levels], seconds);
  }

  #drawSpans(spans, start, end, chosen) {
    const length = end - start;
    this.spans.replaceChildren(...spans
      .filter((span) => span.end > start && span.start < end)
      .map((span) => {
        const box = document.createElement(span.kind === 'match' ? 'button' : 'div');
        box.className = `span ${span.kind}`;
        box.style.left = `${Math.max(0, ((span.start - start) / length) * 100)}%`;
        box.style.right = `${Math.max(0, ((end - span.end) / length) * 100)}%`;
        box.title = span.label;
        if (span.kind === 'match') {
          box.type = 'button';
          box.tabIndex = -1; // the table of spans is the way for the keyboard
          box.dataset.span = span.index;
          box.setAttribute('aria-label', `Span ${span.index + 1} on ${span.label}`);
          box.append(Object.assign(document.createElement('span'), {
            className: 'number', textContent: span.index + 1, ariaHidden: 'true',
          }));
        }
        box.toggleAttribute('data-chosen', span.chosen);
        box.toggleAttribute('data-other', Boolean(chosen) && !span.chosen);
        return box;
      }));
  }

  playhead(share, heard) {
    this.head.hidden = share < 0 || share > 1;
    this.head.style.left = `${share * 100}%`;
    this.head.toggleAttribute('data-heard', heard);
    this.element.toggleAttribute('data-heard', heard);
  }
}

export function clock(seconds) {
  const sign = seconds < 0 ? '−' : '';
  const tenths = Math.round(Math.abs(seconds) * 10);
  const minutes = Math.floor(tenths / 600);
  const rest = (tenths % 600) / 10;
  if (minutes >= 60) {
    return `${sign}${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${String(Math.floor(rest)).padStart(2, '0')}`;
  }
  return `${sign}${minutes}:${rest.toFixed(1).padStart(4, '0')}`;
}

// Two recordings, one position: A is the upload, B the reference, and switching stays at the same music.
//
// Position is counted in seconds of the upload. A match maps it to the reference by a straight line through
// its ends. With matching on, B is played at the upload's tempo and pitch: where pitch and tempo moved
// together (a speed change) by playback rate alone, else the browser keeps the pitch and a worklet shifts it.

const SPEED_CHANGE_TOLERANCE = 0.01; // of the ratio: a sixth of a semitone, which nobody hears in comparing

export class Player extends EventTarget {
  /** audio: {A, B} elements; sounds: {A, B(trackId)} as the server describes them. */
  constructor(elements, upload, references) {
    super();
    this.elements = elements;
    this.upload = upload;
    this.references = references;
    this.side = 'A';
    this.match = null;
    this.matching = true;
    this.loop = false;
    this.wanted = 0;
    this.asked = 0; // when play was asked for, to measure the time to the first sound
    if (upload.links) elements.A.src = upload.links.audio;
    for (const side of ['A', 'B']) {
      const element = elements[side];
      element.addEventListener('playing', () => this.#started(side));
      element.addEventListener('pause', () => this.#changed());
      element.addEventListener('ended', () => this.#changed());
      element.addEventListener('error', () => this.#failed(side));
    }
  }

  get element() { return this.elements[this.side]; }

  get playing() { return !this.element.paused && !this.element.ended; }

  /** Seconds of the upload. */
  get position() {
    if (this.element.readyState === 0) return this.wanted;
    const time = this.element.currentTime;
    return this.side === 'A' ? time : this.toUpload(time);
  }

  get slope() {
    const m = this.match;
    return m ? (m.reference_end_s - m.reference_start_s) / (m.query_end_s - m.query_start_s) : 1;
  }

  toReference(seconds) {
    const m = this.match;
    return m ? m.reference_start_s + (seconds - m.query_start_s) * this.slope : seconds;
  }

  toUpload(seconds) {
    const m = this.match;
    return m ? m.query_start_s + (seconds - m.reference_start_s) / this.slope : seconds;
  }

  hasReference() { return Boolean(this.match && this.references[this.match.track_id]?.links); }

  /** Take another matched span; the position goes to its start unless `stay`. */
  choose(match, { stay = false } = {}) {
    const again = this.playing;
    const position = stay ? this.position : match.query_start_s;
    this.match = match;
    const reference = this.references[match.track_id];
    const address = reference?.links?.audio ?? '';
    if (this.elements.B.getAttribute('src') !== address) {
      this.elements.B.pause();
      if (address) this.elements.B.src = address;
      else this.elements.B.removeAttribute('src');
    }
    if (this.side === 'B' && !this.hasReference()) this.side = 'A';
    this.seek(position);
    if (again) this.play();
    this.#changed();
  }

  async play() {
    this.asked = performance.now();
    await this.#wire();
    this.#adjust();
    try {
      await this.element.play();
    } catch (error) {
      if (error.name !== 'AbortError') this.#failed(this.side);
    }
    this.#changed();
  }

  pause() { this.element.pause(); }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  seek(seconds) {
    this.wanted = Math.max(0, seconds);
    const element = this.element;
    const target = Math.max(0, this.side === 'A' ? this.wanted : this.toReference(this.wanted));
    if (element.readyState === 0) {
      element.addEventListener('loadedmetadata', () => { element.currentTime = target; }, { once: true });
      if (element.getAttribute('src')) element.preload = 'auto';
    } else {
      element.currentTime = target;
    }
    this.#changed();
  }

  switchSide() {
    if (this.side === 'A' && !this.hasReference()) return false;
    const position = this.position;
    const again = this.playing;
    this.element.pause();
    this.side = this.side === 'A' ? 'B' : 'A';
    this.seek(position);
    if (again) this.play();
    this.#changed();
    return true;
  }

  setMatching(on) {
    this.matching = on;
    this.#adjust();
    this.#changed();
  }

  /** Called on every picture frame while playing: keeps the loop. */
  tick() {
    const m = this.match;
    if (this.loop && m && this.playing) {
      const position = this.position;
      if (position >= m.query_end_s || position < m.query_start_s - 0.5) this.seek(m.query_start_s);
    }
  }

  /** Level matching turns the louder one down, so that nothing can clip. */
  gain(side) {
    const upload = this.upload.loudness_lufs;
    const reference = this.match ? this.references[this.match.track_id]?.loudness_lufs : null;
    if (upload == null || reference == null) return 1;
    const own = side === 'A' ? upload : reference;
    return 10 ** ((Math.min(upload, reference) - own) / 20);
  }

  async #wire() {
    if (this.context) {
      if (this.context.state === 'suspended') await this.context.resume();
      return;
    }
    this.context = new AudioContext({ latencyHint: 'interactive' });
    this.gains = {};
    for (const side of ['A', 'B']) {
      const source = this.context.createMediaElementSource(this.elements[side]);
      this.gains[side] = this.context.createGain();
      source.connect(this.gains[side]);
    }
    this.gains.A.connect(this.context.destination);
    this.gains.B.connect(this.context.destination);
    if (this.context.state === 'suspended') await this.context.resume();
    // The shifter is wired in when it has loaded; the first sound does not wait for it.
    this.context.audioWorklet.addModule('/static/js/pitch-worklet.js').then(() => {
      this.shifter = new AudioWorkletNode(this.context, 'pitch-shifter', { outputChannelCount: [2] });
      this.gains.B.disconnect();
      this.gains.B.connect(this.shifter).connect(this.context.destination);
      this.#adjust();
    });
  }

  #adjust() {
    const m = this.match;
    const tempo = m && this.matching ? m.tempo_ratio : 1;
    const shift = m && this.matching ? m.shift_semitones : 0;
    const bySpeed = Math.abs(2 ** (shift / 12) / tempo - 1) < SPEED_CHANGE_TOLERANCE;
    this.elements.B.preservesPitch = !bySpeed;
    this.elements.B.playbackRate = Math.min(4, Math.max(0.25, tempo));
    if (this.shifter) this.shifter.parameters.get('ratio').value = bySpeed ? 1 : 2 ** (shift / 12);
    if (this.gains) for (const side of ['A', 'B']) this.gains[side].gain.value = this.gain(side);
  }

  #started(side) {
    if (this.asked) {
      document.documentElement.dataset.firstSoundMs = String(Math.round(performance.now() - this.asked));
      this.asked = 0;
    }
    if (side === this.side) this.#changed();
  }

  #changed() { this.dispatchEvent(new Event('change')); }

  #failed(side) {
    if (!this.elements[side].getAttribute('src')) return;
    const what = side === 'A' ? 'The upload' : 'The reference';
    this.dispatchEvent(new CustomEvent('trouble', { detail: `${what} can't be played; reload the page to renew its address.` }));
  }
}

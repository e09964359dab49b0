// Shifts the pitch in place: two readers move through a short delay line at the wanted rate, half a line apart,
// and fade into each other as one of them jumps. Good enough to compare two recordings by ear, not to publish.

const LINE = 4096; // samples; 85 ms at 48 kHz: long enough for bass, short enough that drums stay one beat

class PitchShifter extends AudioWorkletProcessor {
  static get parameterDescriptors() {
    return [{ name: 'ratio', defaultValue: 1, minValue: 0.25, maxValue: 4, automationRate: 'k-rate' }];
  }

  constructor() {
    super();
    this.lines = [new Float32Array(LINE), new Float32Array(LINE)];
    this.at = 0; // where the next sample is written
    this.phase = 0; // delay of the first reader, in samples
  }

  process(inputs, outputs, parameters) {
    const input = inputs[0];
    const output = outputs[0];
    const ratio = parameters.ratio[0];
    const count = output[0].length;
    for (let i = 0; i < count; i += 1) {
      for (let c = 0; c < 2; c += 1) this.lines[c][this.at] = input[Math.min(c, input.length - 1)]?.[i] ?? 0;
      if (Math.abs(ratio - 1) < 1e-3) {
        for (let c = 0; c < output.length; c += 1) output[c][i] = this.lines[c][this.at];
      } else {
        // A reader whose delay shrinks by (ratio - 1) a sample reads `ratio` samples a sample.
        this.phase = (this.phase + 1 - ratio + LINE) % LINE;
        const other = (this.phase + LINE / 2) % LINE;
        const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * this.phase) / LINE); // silent where it jumps
        for (let c = 0; c < output.length; c += 1) {
          output[c][i] = weight * this.#read(c, this.phase) + (1 - weight) * this.#read(c, other);
        }
      }
      this.at = (this.at + 1) % LINE;
    }
    return true;
  }

  #read(channel, delay) {
    const line = this.lines[channel];
    const exact = (this.at - delay + 2 * LINE) % LINE;
    const left = Math.floor(exact);
    const part = exact - left;
    return line[left] * (1 - part) + line[(left + 1) % LINE] * part;
  }
}

registerProcessor('pitch-shifter', PitchShifter);

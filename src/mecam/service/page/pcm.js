// An audio worklet: the microphone as blocks of 16-bit samples at 16 kHz.
//
// Each sample out is a windowed sinc over the samples in, whose cut-off lies below half of the lower rate, so that
// nothing above 8 kHz folds down into the voice.

const RATE = 16000;
const BLOCK = 1600;  // samples of 100 ms
const CROSSINGS = 16;  // of zero on each side of the sinc: a steep edge, 1 ms wide
const EDGE = 0.94;  // of half the lower rate

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;  // samples in for one out
    const cut = EDGE * Math.min(1, 1 / this.step);  // in halves of the rate in
    this.reach = Math.ceil(CROSSINGS / cut);
    this.tap = (distance) => {
      const place = distance / (this.reach + 1);
      if (Math.abs(place) >= 1) return 0;
      const window = 0.42 + 0.5 * Math.cos(Math.PI * place) + 0.08 * Math.cos(2 * Math.PI * place);
      const x = Math.PI * cut * distance;
      return cut * window * (Math.abs(x) < 1e-9 ? 1 : Math.sin(x) / x);
    };
    this.kernels = new Map();  // of the fractions of a sample that come up: 3 to 1 has one, 44.1 to 16 kHz 160
    this.heard = new Float32Array(0);  // samples in that are still needed
    this.first = null;  // the time of heard[0], in samples in
    this.next = 0;  // where the next sample out lies, from heard[0]
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
  }

  kernel(fraction) {
    const key = Math.round(fraction * 4096);
    if (!this.kernels.has(key)) {
      const made = new Float32Array(2 * this.reach + 2);
      for (let place = 0; place < made.length; place += 1) made[place] = this.tap(place - this.reach - key / 4096);
      this.kernels.set(key, made);
    }
    return this.kernels.get(key);
  }

  process([input]) {
    if (!input.length) return true;
    const mono = new Float32Array(input[0].length);
    for (const channel of input) for (let i = 0; i < mono.length; i += 1) mono[i] += channel[i] / input.length;
    if (this.first === null) {
      this.first = currentFrame - this.reach;
      this.heard = new Float32Array(this.reach);
      this.next = this.reach;
    }
    const all = new Float32Array(this.heard.length + mono.length);
    all.set(this.heard);
    all.set(mono, this.heard.length);
    while (this.next + this.reach + 1 < all.length) {
      const whole = Math.floor(this.next);
      const kernel = this.kernel(this.next - whole);
      let sum = 0;
      for (let place = 0; place < kernel.length; place += 1) sum += (all[whole - this.reach + place] ?? 0) * kernel[place];
      this.put(sum, (this.first + this.next) / sampleRate);
      this.next += this.step;
    }
    const done = Math.max(0, Math.floor(this.next) - this.reach);
    this.heard = all.slice(done);
    this.first += done;
    this.next -= done;
    return true;
  }

  put(sample, time) {
    if (!this.filled) this.began = time;
    this.block[this.filled] = Math.max(-32768, Math.min(32767, Math.round(32767 * sample)));
    this.filled += 1;
    if (this.filled < BLOCK) return;
    this.port.postMessage({ time: this.began, pcm: this.block.buffer }, [this.block.buffer]);
    this.block = new Int16Array(BLOCK);
    this.filled = 0;
  }
}

registerProcessor("pcm", Pcm);

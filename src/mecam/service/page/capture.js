// Sound and pictures of the devices, each with the time at which it was taken.

const LONGER_SIDE = 640;  // pixels
const QUALITY = 0.8;

/** Takes both from a stream until `stop()`.
 * `now()` gives the seconds since the start of the session; `onSound(time, pcm)` and `onPicture(time, jpeg)` get them;
 * `mayShow()` says whether a picture would be of use now. */
export async function capture({ stream, video, picturesPerS, now, onSound, onPicture, mayShow }) {
  const stops = [];
  if (stream.getAudioTracks().length) stops.push(await takeSound(stream, now, onSound));
  if (stream.getVideoTracks().length) stops.push(takePictures(video, picturesPerS, now, onPicture, mayShow));
  return () => stops.forEach((stop) => stop());
}

async function takeSound(stream, now, onSound) {
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/pcm.js");
  if (context.state === "suspended") await context.resume();
  const source = context.createMediaStreamSource(stream);
  const worklet = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0 });
  const offset = now() - context.currentTime;
  worklet.port.onmessage = ({ data }) => onSound(Math.max(0, data.time + offset), data.pcm);
  source.connect(worklet);
  return () => { source.disconnect(); context.close(); };
}

function takePictures(video, picturesPerS, now, onPicture, mayShow) {
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  let busy = false;
  const take = () => {
    if (busy || !video.videoWidth || !mayShow()) return;
    const size = Math.min(1, LONGER_SIDE / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * size);
    canvas.height = Math.round(video.videoHeight * size);
    const time = now();
    pen.drawImage(video, 0, 0, canvas.width, canvas.height);
    busy = true;
    canvas.toBlob(async (blob) => {
      busy = false;
      if (blob) onPicture(time, await blob.arrayBuffer());
    }, "image/jpeg", QUALITY);
  };
  const clockwork = setInterval(take, 1000 / picturesPerS);
  return () => clearInterval(clockwork);
}

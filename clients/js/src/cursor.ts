/** A place in a stream: the id of a frame, `gen_….12`, or `gen_….12.1` for an entry's earlier frames. */

/** What a frame's id says; of two places in a stream the later one's `at` is greater. */
export interface Place {
  readonly streamId: string;
  readonly at: number;
}

const PLACE = /^([^.]+)\.(\d+)(?:\.(\d{1,3}))?$/;

// The last frame of an entry has no number of its own: it stands behind all those that have.
const FRAMES = 1000;

/** Read a frame's id; undefined where it is none. */
export function parsePlace(id = ""): Place | undefined {
  const [, streamId, seq, frame = FRAMES - 1] = PLACE.exec(id) ?? [];
  return streamId === undefined ? undefined : { streamId, at: Number(seq) * FRAMES + Number(frame) };
}

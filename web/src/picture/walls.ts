// One language for the walls: each has one name, one sign, one sentence, and (in styles/tokens.css) one colour.

import type { Namespaces } from "../generated/Namespaces.ts";

export interface Wall {
  /** The suffix of its colour token, `--wall-pid`. */
  key: string;
  name: string;
  /** What it keeps apart, in a sentence. */
  sentence: string;
  /** Its sign: strokes in a box of 16 by 16. */
  sign: string;
}

/** The walls that are namespaces, by the protocol's name for each. Time namespaces are not among them: Docker makes none. */
export const NAMESPACE_WALLS: readonly (Wall & { namespace: keyof Namespaces })[] = [
  {
    namespace: "pid", key: "pid", name: "pid",
    sentence: "Process numbers: inside, counting begins again at 1, and other processes cannot be seen.",
    sign: "M6 2 4.5 14M11.5 2 10 14M2.5 6h11.5M2 10.5h11.5",
  },
  {
    namespace: "net", key: "network", name: "net",
    sentence: "The network: links, addresses, ports and routes of its own.",
    sign: "M8 5.5v3M4 11.5v-1.5q0-1.5 1.5-1.5h5q1.5 0 1.5 1.5v1.5M6.3 2h3.4v3.4H6.3zM2.5 11.5h3v3h-3zM10.5 11.5h3v3h-3z",
  },
  {
    namespace: "mnt", key: "mount", name: "mnt",
    sentence: "The tree of files: what is mounted where.",
    sign: "M2 13V3.5h4.2L8 5.5h6V13z",
  },
  {
    namespace: "ipc", key: "ipc", name: "ipc",
    sentence: "Shared memory, semaphores and message queues.",
    sign: "M2 5.5h10M9.5 3 12 5.5 9.5 8M14 10.5H4M6.5 8 4 10.5 6.5 13",
  },
  {
    namespace: "uts", key: "uts", name: "uts",
    sentence: "The host's name.",
    sign: "M2 8V2.5h5.5L14 9l-5.5 5.5zM5 5.5h.01",
  },
  {
    namespace: "cgroup", key: "cgroup", name: "cgroup",
    sentence: "What it sees of the tree of resource limits.",
    sign: "M2.2 12a6 6 0 1 1 11.6 0M8 11l2.8-4.2",
  },
  {
    namespace: "user", key: "user", name: "user",
    sentence: "Users: root inside need not be root outside.",
    sign: "M8 2.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6M2.8 14c0-3 2.2-4.6 5.2-4.6s5.2 1.6 5.2 4.6",
  },
];

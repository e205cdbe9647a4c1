// Uploads that this browser has begun, in its database: they continue on the next page and after a reload.

const MAX_STORED = 512 * 2 ** 20; // bytes of a file that is stored too; a larger one has to be chosen again

let database = null;

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open() {
  if (!database) {
    const request = indexedDB.open("homescribe", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("uploads", { keyPath: "id" });
    database = settled(request);
  }
  return database;
}

async function run(mode, action) {
  return settled(action((await open()).transaction("uploads", mode).objectStore("uploads")));
}

/** Store an upload: {id, name, size, modified, transcribe, location}, with its file if that is small enough. */
export async function storeUpload(upload) {
  const { id, name, size, modified, transcribe, location, file } = upload;
  const stored = { id, name, size, modified, transcribe, location };
  try {
    upload.isStored = Boolean(file) && size <= MAX_STORED;
    await run("readwrite", (store) => store.put(upload.isStored ? { ...stored, file } : stored));
  } catch {
    // The browser has no room, or keeps nothing (a private window): this page still uploads the file.
    upload.isStored = false;
    await run("readwrite", (store) => store.put(stored)).catch(() => {});
  }
}

export const forgetUpload = (id) => run("readwrite", (store) => store.delete(id)).catch(() => {});
export const storedUploads = () => run("readonly", (store) => store.getAll()).catch(() => []);

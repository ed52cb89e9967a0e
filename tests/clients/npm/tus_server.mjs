// A tus server that has each finished upload checked by Hashwacht, and refuses what is not "no match".
// Usage: node tus_server.mjs DIRECTORY SOCKET; prints its port.
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory, socketPath] = process.argv.slice(2);

function check(file, headers) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { socketPath, path: "/v1/check?answer=status", method: "POST", headers },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    request.on("error", reject);
    createReadStream(file).on("error", reject).pipe(request);
  });
}

const server = new Server({
  path: "/files",
  datastore: new FileStore({ directory }),
  async onUploadFinish(request, upload) {
    const file = path.join(directory, upload.id);
    const name = encodeURIComponent(upload.metadata?.filename ?? "");
    const status = await check(file, { "Hashwacht-File-Name": `utf-8''${name}` }).catch(() => 503);
    if (status === 204) return {};
    await rm(file);
    throw { status_code: status === 403 ? 403 : 503, body: "This upload cannot be accepted.\n" };
  },
});
const listening = http.createServer(server.handle.bind(server));
listening.listen(0, "127.0.0.1", () => console.log(listening.address().port));

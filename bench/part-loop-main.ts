/**
 * The plainest way to bring a file to S3 and back with the client that we use: parts of the same size, two on the way at
 * once, no digest, no manifest, no look at what was stored; a download written as it comes. What our jobs take longer is
 * what that costs. One order as JSON on standard input; prints the milliseconds it took.
 */
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { connectS3, type S3Connection, type S3Options } from '../src/engine/targets/s3-connection.ts';
import { smallestPartBytes } from '../src/engine/targets/s3-upload.ts';

export interface PartLoopOrder {
  readonly s3: S3Options;
  readonly direction: 'up' | 'down';
  readonly key: string;
  readonly path: string;
}

const concurrency = 2;

if (import.meta.main) {
  const order = JSON.parse(await text(process.stdin)) as PartLoopOrder; // our own parent wrote it
  const connection = connectS3(order.s3);
  const startedMs = performance.now();
  await (order.direction === 'up' ? upload(connection, order) : download(connection, order));
  console.log(performance.now() - startedMs);
  connection.close();
}

async function upload(connection: S3Connection, { key, path }: PartLoopOrder): Promise<void> {
  const object = { Bucket: connection.place.bucket, Key: key };
  const { UploadId } = await connection.send((client, sdk) =>
    client.send(new sdk.CreateMultipartUploadCommand(object)),
  );
  await using file = await open(path);
  const parts: { PartNumber: number; ETag: string | undefined }[] = [];
  let position = 0;
  const sender = async () => {
    const buffer = Buffer.allocUnsafeSlow(smallestPartBytes);
    for (;;) {
      const at = position;
      position += buffer.length;
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return;
      const PartNumber = at / buffer.length + 1;
      const part = { ...object, UploadId, PartNumber, Body: buffer.subarray(0, bytesRead) };
      const { ETag } = await connection.send((client, sdk) => client.send(new sdk.UploadPartCommand(part)));
      parts.push({ PartNumber, ETag });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, sender));
  const Parts = parts.toSorted((a, b) => a.PartNumber - b.PartNumber);
  await connection.send((client, sdk) =>
    client.send(new sdk.CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload: { Parts } })),
  );
}

async function download(connection: S3Connection, { key, path }: PartLoopOrder): Promise<void> {
  const object = { Bucket: connection.place.bucket, Key: key };
  const { Body } = await connection.send((client, sdk) => client.send(new sdk.GetObjectCommand(object)));
  await pipeline(Body as Readable, createWriteStream(path, { flush: true })); // on a server it is a Node stream
}

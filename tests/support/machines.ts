/** Machines that want to write to one place: each with its own installation, and a start of the service at a time. */
import { randomUUID } from 'node:crypto';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  endHeartbeat,
  type Heartbeat,
  newHeartbeat,
  type OwnEpoch,
  releasePlace,
  renew,
} from '../../src/engine/writer/heartbeat.ts';
import { changeInstallation, readInstallation } from '../../src/engine/writer/installation.ts';
import type { WriterSelf } from '../../src/engine/writer/self.ts';
import { type Holding, holdPlace, type HoldRequest, otherWriterAt } from '../../src/engine/writer/writer.ts';
import { beatName, keyAt, type Place } from '../../src/engine/writer/objects.ts';
import type { JobEvent, WriterNews } from '../../src/words/story.ts';
import type { Writing } from '../../src/engine/writer/writing.ts';

export const ADDRESS = 'server/bucket/prefix';

export interface MachineOptions {
  readonly host: string;
  readonly folder: string;
  readonly place: Place;
  readonly everyMs: number;
  /** Its own clock, right or not. */
  readonly now?: () => Date;
}

export class Machine {
  readonly options: MachineOptions;
  readonly news: WriterNews[] = [];
  #heartbeat: Heartbeat;
  #isFirst = true;

  constructor(options: MachineOptions) {
    this.options = options;
    this.#heartbeat = this.#begin();
  }

  get installationPath(): string {
    return join(this.options.folder, 'velist-backup.installation.json');
  }

  get installation() {
    return readInstallation(this.installationPath);
  }

  get held() {
    return this.installation?.places[ADDRESS] ?? null;
  }

  get token(): string {
    return this.#heartbeat.token;
  }

  /** A new start of the service, after a stop or a crash. */
  restart(): void {
    this.#heartbeat = this.#begin();
    this.#isFirst = true;
  }

  /** What an upload does first. The command line is no start of the service. */
  async hold({ knowsPlace = false, isCommandLine = false } = {}): Promise<Holding> {
    const isFirst = this.#isFirst && !isCommandLine;
    const holding = await holdPlace(this.options.place, this.request({ knowsPlace, isFirst }), this.context);
    this.#isFirst = false;
    return holding;
  }

  async look() {
    return await otherWriterAt(this.options.place, this.request({ isFirst: this.#isFirst }), this.context);
  }

  async beat(): Promise<readonly OwnEpoch[]> {
    return await renew(this.#heartbeat, this.options.place.store, [this.#own()], this.context);
  }

  async release(): Promise<void> {
    await releasePlace(this.options.place, this.#own(), this.token, this.context);
    await endHeartbeat(this.#heartbeat, this.options.place.store, this.context.signal);
  }

  /** What a copy of its disk brings back. */
  image(): string {
    const path = `${this.installationPath}.${randomUUID()}`;
    copyFileSync(this.installationPath, path);
    return path;
  }

  async setBackTo(image: string): Promise<void> {
    copyFileSync(image, this.installationPath);
    this.restart();
  }

  /** The copy of a running process beats under the same token. */
  resumedOn(folder: string): Machine {
    const copy = new Machine({ ...this.options, folder, host: `${this.options.host}-copy` });
    if (existsSync(this.installationPath)) copyFileSync(this.installationPath, copy.installationPath);
    copy.#heartbeat = structuredClone(this.#heartbeat);
    copy.#isFirst = this.#isFirst;
    return copy;
  }

  request(writing: Partial<Writing>): HoldRequest {
    const { host, everyMs } = this.options;
    const { token, key } = this.#heartbeat;
    const maker = { installation: 'made up', host };
    const self: WriterSelf = {
      ...{
        databaseId: null,
        formerIds: [],
        isProvisional: false,
        name: 'shop.sqlite',
        pathDigest: 'path',
        machineDigest: 'machine',
        maker,
      },
      installationPath: this.installationPath,
    };
    return {
      ...{ self, address: ADDRESS, secondLookMs: 20 },
      writing: { ...{ token, everyMs, beat: key, isFirst: true, knowsPlace: false }, ...writing },
    };
  }

  get context() {
    return {
      signal: new AbortController().signal,
      now: this.options.now ?? (() => new Date()),
      onEvent: (event: JobEvent) => {
        if (event.type === 'writer') this.news.push(event.news);
      },
    };
  }

  async forget(): Promise<void> {
    await changeInstallation(
      this.installationPath,
      (it) => ({ ...it, id: randomUUID(), places: {}, taking: {} }),
      this.context,
    );
    this.restart();
  }

  #begin(): Heartbeat {
    return newHeartbeat((token) => keyAt(this.options.place, beatName(token)));
  }

  #own(): OwnEpoch {
    const { installationPath } = this;
    return { address: ADDRESS, installationPath, epoch: this.held?.epoch ?? 0 };
  }
}

/** What is wrong with the rights on backups and secrets, and with how the server is reached. */
import { isLoopback } from '../../words/loopback.ts';
import { PASSWORD_GOOD, PASSWORD_LEAST } from '../password.ts';
import { closeIt, octal } from '../protection/open-folder.ts';
import { type Check, found, ok } from './finding.ts';

const OTHERS = 0o077;

const OTHERS_WRITE = 0o002;

export const folderIsPrivate: Check = ({ folder }) => {
  const code = 'permissions';
  if (folder.complaint !== null) {
    return found('problem', code, {
      what: `the backups can't be listed: ${folder.complaint.message}`,
      why: 'No backup can be made here, and none can be restored.',
      fix: folder.complaint.hint,
    });
  }
  if (folder.mode === null && folder.isWritable) return null;
  if (folder.mode === null || !folder.isWritable) {
    return found('problem', code, {
      what: `the user of this process may not ${folder.mode === null ? 'create' : 'write to'} ${folder.path}`,
      why: 'No backup can be made.',
      fix: 'Make that user the owner of the folder: `chown`, then `chmod 700`.',
    });
  }
  if ((folder.mode & OTHERS_WRITE) !== 0) {
    return found('problem', code, {
      what: `every user of this machine may write to ${folder.path} (${octal(folder.mode)})`,
      why: 'Anybody who does can replace a backup and its manifest by another database, and a restore would take it.',
      fix: `${closeIt(folder.path, folder.isShared)}.`,
    });
  }
  if ((folder.mode & OTHERS) !== 0) {
    return found('warning', code, {
      what: `${folder.path} is open to other users of this machine (${octal(folder.mode)})`,
      why: 'A backup contains everything that the database contains.',
      fix: `${closeIt(folder.path, folder.isShared)}.`,
    });
  }
  if (folder.openFiles > 0) {
    return found('info', code, {
      what: `${folder.openFiles} files in ${folder.path} are open to other users`,
      why: 'The folder keeps others out, but a copy of it that keeps these permissions does not.',
      fix: `chmod 600 ${folder.path}/backup-*`,
    });
  }
  return ok(code, `${folder.path} is closed to other users`);
};

export const stateIsPrivate: Check = ({ state }) => {
  const code = 'state-permissions';
  if (state.mode === null) return null;
  if ((state.mode & OTHERS) === 0) return ok(code, `${state.path} is closed to other users`);
  return found('info', code, {
    what: `${state.path} can be read by other users of this machine (${octal(state.mode)})`,
    why: 'It contains the run history: who did what, and when. It contains no backup.',
    fix: `chmod 600 ${state.path}`,
  });
};

export const secretsArePrivate: Check = ({ openSecrets }) => {
  if (openSecrets.length === 0) return null;
  return found('warning', 'secret-files', {
    what: `every user of this machine may read ${openSecrets.join(', ')}`,
    why: 'It contains a secret.',
    fix: `Give it to the user who runs this process, then \`chmod 600 ${openSecrets.join(' ')}\`.`,
  });
};

export const settingsAreRead: Check = ({ settingsComplaint }) => {
  const code = 'settings-file';
  if (settingsComplaint === null) return null;
  return found('problem', code, {
    what: `the settings that were changed on the page can't be read: ${settingsComplaint}`,
    why: 'Those of the environment apply. No backup is removed meanwhile, because the settings may have asked to keep more.',
    fix: 'Correct settings.json in the folder of the backups, or save the settings again on the page.',
  });
};

export const credentialsAreRead: Check = ({ credentialsComplaint }) => {
  if (credentialsComplaint === null) return null;
  return found('problem', 'credentials-file', {
    what: `what was set up on the page, such as a bucket or a webhook, can't be used: ${credentialsComplaint}`,
    why: 'Nothing is uploaded there, and nobody is told of failures there, until it can.',
    fix: 'Correct the credentials file beside the state, or set it up again on the page.',
  });
};

export const setUpIsUsed: Check = ({ setUpConflicts }) => {
  if (setUpConflicts.length === 0) return null;
  return found('problem', 'set-up', {
    what: `a target that was set up on the page is not in use: ${setUpConflicts.join('; ')}`,
    why: 'Nothing is copied there until it is.',
    fix: 'Set up another place on the page, or remove it there.',
  });
};

export const nothingIsSetAside: Check = ({ setAside }) => {
  if (setAside.length === 0) return null;
  return found('info', 'set-aside', {
    what: `files of velist-backup that could not be used were set aside: ${setAside.join(', ')}`,
    why: 'Nothing needs them: they were damaged, or not accessible to the user of this process.',
    fix: 'Look at them if you like, then remove them.',
  });
};

export const nothingIsServed: Check = ({ folder, state, servedAs }) => {
  const code = 'served';
  if (servedAs === null) return ok(code, 'backups and state are in no folder that is served');
  const { what, folder: served, isCertain } = servedAs;
  return found(isCertain ? 'problem' : 'warning', code, {
    what: `${what === 'backups' ? folder.path : state.path} is in ${served}, which ${isCertain ? 'is' : 'by its name is'} served to the public`,
    why: 'Anybody who guesses a name can download it.',
    fix: `Set ${what === 'backups' ? 'BACKUP_LOCAL_PATH' : 'BACKUP_STATE_PATH'} to a folder that no web server serves.`,
  });
};

/** The server itself speaks plain http: outside of this machine a proxy with https belongs before it. */
export const doorIsNarrow: Check = ({ door }) => {
  const code = 'open-address';
  if (door === null || (door.passwordLength === null && !door.hasToken)) return null;
  if (isLoopback(door.host)) return ok(code, `the server listens only on ${door.host}`);
  return found('info', code, {
    what: `the server listens on ${door.host}, so other machines reach it, over plain http`,
    why: 'Anybody who listens on the network can read the password, the token and every backup that is downloaded.',
    fix: 'Put an https proxy in front of it, or set HOST=127.0.0.1 and use an SSH tunnel. In a container, publish the port only to 127.0.0.1.',
  });
};

export const passwordIsLong: Check = ({ door }) => {
  const code = 'password';
  const length = door?.passwordLength ?? null;
  if (length === null) return null;
  if (length < PASSWORD_LEAST) {
    return found('problem', code, {
      what: `BACKUP_ADMIN_PASSWORD has ${length} characters`,
      why: `With fewer than ${PASSWORD_LEAST} it opens nothing: nobody can sign in.`,
      fix: `Set one of ${PASSWORD_GOOD} characters or more, and restart.`,
    });
  }
  if (length >= PASSWORD_GOOD) return ok(code, 'the password is long enough');
  return found('info', code, {
    what: `BACKUP_ADMIN_PASSWORD has ${length} characters`,
    why: `It is all that a stranger has to guess, and NIST then asks for ${PASSWORD_GOOD} (SP 800-63B).`,
    fix: 'Set a longer one, such as a sentence, and restart.',
  });
};

/**
 * The parts of the page that are not needed to see how things stand, in one file that is fetched when the first of them
 * is opened (`state/parts.svelte.ts`). The restore dialog is not among them: it opens also while the server is replaced.
 */
import './styles/on-demand.css';

export { default as AcceptLoss } from './components/AcceptLoss.svelte';
export { default as BringBack } from './components/BringBack.svelte';
export { default as Checkup } from './components/Checkup.svelte';
export { default as ClaimDialog } from './components/ClaimDialog.svelte';
export { default as Compare } from './components/Compare.svelte';
export { default as Configuration } from './components/Configuration.svelte';
export { default as DeleteDialog } from './components/DeleteDialog.svelte';
export { default as DetailsDrawer } from './components/DetailsDrawer.svelte';
export { default as KeyboardHelp } from './components/KeyboardHelp.svelte';
export { default as PasswordDialog } from './components/PasswordDialog.svelte';
export { default as PinDialog } from './components/PinDialog.svelte';
export { default as RowMenu } from './components/RowMenu.svelte';
export { default as RunLog } from './components/RunLog.svelte';

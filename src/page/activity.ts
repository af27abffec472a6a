/** The activity chart, in a file of its own: it is drawn after the state of the backups is there. */
import './styles/activity.css';

export { default as Activity } from './components/Activity.svelte';

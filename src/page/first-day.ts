/** The card of the first day, in a file of its own. */
import './styles/first-day.css';

export { default as FirstDay } from './components/FirstDay.svelte';

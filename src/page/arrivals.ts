/** The upload of a file from elsewhere, fetched when somebody is about to. */
import './styles/arrivals.css';

export { default as ArrivalDialog } from './components/ArrivalDialog.svelte';
